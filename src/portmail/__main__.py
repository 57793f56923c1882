"""`python -m portmail`: the same as the command `portmail`."""

import sys

from portmail.cli import main

sys.exit(main())
