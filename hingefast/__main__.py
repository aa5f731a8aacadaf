"""``python -m hingefast`` is the command ``hingefast``."""

import sys

from hingefast._cli import main

sys.exit(main())
