"""Base and fine-tuned model on held-out images: generation, scoring, files."""
