"""Reinforcement without rollouts: where the answers are a list, their sum in place of samples.

objectives.py is the mathematics, answers.py the list of an example and what each answer earns,
trainer.py the trainer, run.py a recipe's training, check.py the fast paths beside their slow twins.

Notation: K answers of one example; a name's last letters are a tensor's dimensions.
"""
