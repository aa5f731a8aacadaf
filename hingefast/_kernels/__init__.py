"""Compiled kernels; private. ``CONTRIBUTING.md`` shows the way of the data through them."""

from pathlib import Path

try:
    import hingefast._kernels.table  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "hingefast._kernels.table":
        raise
    raise ImportError(
        f"hingefast in {Path(__file__).parents[2]} is source that has not been built; to use one that is installed, "
        "start Python in another folder, to build this one in place, see CONTRIBUTING.md"
    ) from error
