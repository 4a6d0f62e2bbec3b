"""The ways in which a GRPO run computes: the fast ones, their slow twins, how one gives way."""
