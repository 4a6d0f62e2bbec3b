"""Commands that take a fine-tuned model out of its run folder."""
