from typing import Any, Self, TypeAlias

import numpy.typing as npt
from typing_extensions import disjoint_base

_Rows: TypeAlias = tuple[int, int, int] | npt.NDArray[Any] | None
_Fault: TypeAlias = tuple[int, int, int, bytes]

@disjoint_base
class Targets:
    n_rows: int
    n_total: int
    n_classes: int
    def __new__(
        cls,
        n_total: int,
        y: npt.NDArray[Any] | None = None,
        classes: tuple[float, float] = (-1, 1),
        sample_weight: npt.NDArray[Any] | None = None,
        class_weight: tuple[float, float] | None = None,
        rows: _Rows = None,
    ) -> Self: ...
    def batch(self, rows: _Rows) -> Targets: ...
    def first_fault(self) -> _Fault | None: ...
    def class_pair(self) -> tuple[float, float]: ...
    def labels_are_bool(self) -> bool: ...
    def seen_label(self, seen: bytes) -> Any: ...
    def seen_weight(self, seen: bytes) -> Any: ...
