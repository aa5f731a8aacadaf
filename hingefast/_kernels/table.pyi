from typing import Any, Self, TypedDict

import numpy.typing as npt
from typing_extensions import disjoint_base

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
def elementary(name: str, x: npt.NDArray[Any]) -> npt.NDArray[Any]: ...

@disjoint_base
class BoundLoss:
    has_curvature: bool
    def __new__(cls, name: str, parameters: tuple[float, ...]) -> Self: ...

@disjoint_base
class default_environment:
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...
