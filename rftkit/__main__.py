"""`python -m rftkit`: the command line, where the script is not on the path."""

from rftkit.cli.main import main

if __name__ == "__main__":
    main()
