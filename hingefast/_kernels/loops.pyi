from typing import Any, TypedDict

import numpy.typing as npt

class CatalogueRow(TypedDict):
    name: str
    class_name: str
    aliases: list[str]
    parameters: list[tuple[str, str, float]]
    smoothness: str

def supported_levels() -> list[str]: ...
def level() -> str: ...
def compiler() -> str: ...
def catalogue() -> list[CatalogueRow]: ...
def elementary(name: str, x: npt.NDArray[Any]) -> npt.NDArray[Any]: ...

class BoundLoss:
    has_curvature: bool
    def __init__(self, name: str, parameters: tuple[float, ...]) -> None: ...
