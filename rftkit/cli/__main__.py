"""`python -m rftkit.cli`: the command line, as `python -m rftkit`."""

from rftkit.cli.main import main

if __name__ == "__main__":
    main()
