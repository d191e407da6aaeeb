"""``python -m fastbcd`` is the command line ``fastbcd``."""

import sys

from fastbcd.cli import main

sys.exit(main())
