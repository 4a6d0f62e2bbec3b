"""What a recipe needs of a GPU, worked out beforehand: no model, no download, no torch.

shapes.py knows the sizes of models, cards.py the memory of GPUs, parts.py has the formulas, and
need.py puts them together.
"""
