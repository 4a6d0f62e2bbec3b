"""`python -m rftkit`: the command line, where the script is not on the path."""

import sys
from pathlib import Path

if sys.path[0] in ("", str(Path.cwd())):
    del sys.path[0]  # modules of the current folder are perhaps a stranger's

from rftkit.cli.main import main

if __name__ == "__main__":
    main()
