"""Where labelled images come from: one module for each format."""
