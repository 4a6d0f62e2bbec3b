"""What commands print: the data checked, the memory plan, runs and their results."""
