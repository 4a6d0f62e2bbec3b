"""GRPO with each prompt computed once: the project's one override of TRL's loss path.

groups.py finds the rows that share a prompt, packing.py lays a group out as one row, forward.py
scores it, decoding.py prefills it, pictures.py prepares its picture, trainer.py puts them into TRL.
"""
