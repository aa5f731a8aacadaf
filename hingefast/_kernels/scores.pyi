from typing import Any

import numpy.typing as npt
from typing_extensions import disjoint_base

from hingefast._kernels.job import Job
from hingefast._kernels.table import BoundLoss

MEAN: str
SUM: str

@disjoint_base
class ScorePass(Job): ...

def is_plain_output(
    out: Any, vector: npt.NDArray[Any], inputs: dict[str, Any], theta: Any, rows: Any
) -> bool: ...
def evaluate(
    loss: BoundLoss,
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
