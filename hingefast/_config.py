"""`show_config`: what runs, on what, built how."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import numpy as np

from hingefast import _threads
from hingefast._kernels import table
from hingefast.checks.arguments import as_mode

__all__ = ["VERSION", "show_config"]

# As in pyproject.toml, which a test compares. A constant: frozen programs and copied folders carry no metadata.
VERSION = "0.1.0"


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Versions, the instruction-set level in use and the compiler that made it.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print the configuration, or return it.

    Returns
    -------
    dict or None
        With keys ``hingefast``, ``python``, ``numpy``, ``machine``, ``level``, ``levels`` (those that this
        machine can run), ``compiler`` and ``threads`` (what a call uses by default).

    Raises
    ------
    ValueError
        For another mode.

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.show_config(mode="dicts")["level"] in hf.show_config(mode="dicts")["levels"]
    True
    """
    mode = as_mode(mode)
    config = {
        "hingefast": VERSION,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} processors",
        "level": table.level(),
        "levels": table.supported_levels(),
        "compiler": table.compiler(),
        "threads": _threads.resolve_threads(None),
    }
    if mode == "dicts":
        return config
    for name, value in config.items():
        print(f"{name + ':':<11}{', '.join(value) if isinstance(value, list) else value}")
    return None
