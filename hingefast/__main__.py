"""``python -m hingefast`` is the command ``hingefast``."""

import sys

from hingefast.cli.main import main

sys.exit(main())
