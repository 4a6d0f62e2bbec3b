"""Rationales from the base model by rejection sampling: what it wrote where its answer was right.

`sampling` asks it and keeps what is right, `table` writes the data again with a column `rationale`,
`run` is the command: both, with what has been sampled already.
"""
