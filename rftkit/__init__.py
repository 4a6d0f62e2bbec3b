"""rftkit: reinforcement and supervised fine-tuning of vision-language models on few images."""

__version__ = "0.1.0"
