"""Training by a recipe: the steps of a run, GRPO, SFT, what they share."""
