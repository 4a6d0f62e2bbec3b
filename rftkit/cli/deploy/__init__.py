"""Commands that bring a fine-tuned model to where it is used."""
