from typing import Any

from typing_extensions import disjoint_base

from hingefast._kernels.arrangements import BoundArrangement
from hingefast._kernels.scores import ScorePass

MEAN: str
SUM: str

@disjoint_base
class ClassScorePass(ScorePass): ...

def evaluate(
    arrangement: BoundArrangement,
    want: int,
    y: Any,
    scores: Any,
    sample_weight: Any,
    class_weight: Any,
    classes: Any,
    reduction: Any,
    out: Any,
    n_threads: Any,
) -> Any: ...
