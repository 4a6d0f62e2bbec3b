"""`python -m rftkit.cli`: the command line, as `python -m rftkit`."""

import sys
from pathlib import Path

if sys.path[0] in ("", str(Path.cwd())):
    del sys.path[0]  # modules of the current folder are perhaps a stranger's

from rftkit.cli.main import main

if __name__ == "__main__":
    main()
