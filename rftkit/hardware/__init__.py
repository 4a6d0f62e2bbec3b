"""What this machine has, and what a recipe needs of a GPU: no model, no download, no torch.

gpus.py knows the memory of GPUs, prompt_size.py how long the prompts of a recipe are,
memory_parts.py has the formulas and memory_plan.py puts them together for `rftkit plan`. probe.py
asks the driver for the GPU, doctor.py examines the whole machine.
"""
