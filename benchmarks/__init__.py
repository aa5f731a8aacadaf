"""How fast hingefast is, next to a physical limit and to the best NumPy passes. See README.md."""

import sys
from pathlib import Path

# What is measured is the installed hingefast, never the source folder beside this one, which need not hold
# any compiled module: the project's root is searched last.
_root = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _root] + [str(_root)]
