from typing_extensions import disjoint_base

LOOK_SECONDS: float

class Forked(BaseException): ...

@disjoint_base
class Job:
    def work(self) -> None: ...
