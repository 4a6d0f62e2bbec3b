"""The compare app: `python app.py` is `rftkit demo`, options and all."""

import sys

from rftkit.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "demo")
    main()
