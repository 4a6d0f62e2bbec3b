"""Base and fine-tuned model on one image: what `rftkit predict` and the compare app answer."""
