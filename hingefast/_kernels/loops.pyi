from collections.abc import Callable
from typing import Any, Self, TypedDict, TypeVar

import numpy.typing as npt
from typing_extensions import disjoint_base

_Result = TypeVar("_Result")

class _CatalogueRow(TypedDict):
    name: str
    class_name: str
    aliases: list[str]
    parameters: list[tuple[str, str, float]]
    smoothness: str

def supported_levels() -> list[str]: ...
def level() -> str: ...
def compiler() -> str: ...
def catalogue() -> list[_CatalogueRow]: ...
def in_default_environment(function: Callable[..., _Result], *arguments: Any) -> _Result: ...
def elementary(name: str, x: npt.NDArray[Any]) -> npt.NDArray[Any]: ...

@disjoint_base
class BoundLoss:
    has_curvature: bool
    def __new__(cls, name: str, parameters: tuple[float, ...]) -> Self: ...
