"""Commands that take a model out of its run: to the hub."""
