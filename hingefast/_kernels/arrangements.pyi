from typing import Any, Self

import numpy.typing as npt
from typing_extensions import disjoint_base

from hingefast._kernels.slopes import Targets, _Rows
from hingefast._kernels.table import BoundLoss

KINDS: tuple[str, ...]

@disjoint_base
class BoundArrangement:
    kind: str
    k: int
    n_classes: int
    has_curvature: bool
    def __new__(
        cls, kind: str, margin: BoundLoss, k: int = 0, cost: npt.NDArray[Any] | None = None
    ) -> Self: ...

@disjoint_base
class ClassTargets(Targets):
    def batch(self, rows: _Rows) -> ClassTargets: ...
    def class_labels(self) -> npt.NDArray[Any] | None: ...

def class_targets(
    n_total: int,
    n_classes: int,
    y: npt.NDArray[Any] | None = None,
    labels: npt.NDArray[Any] | None = None,
    sample_weight: npt.NDArray[Any] | None = None,
    class_weight: npt.NDArray[Any] | None = None,
    rows: _Rows = None,
) -> ClassTargets: ...
