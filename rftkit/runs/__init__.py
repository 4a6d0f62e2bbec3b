"""The run folder: files, state, checkpoints, the adapter and its metadata."""
