"""Rewards that any task may use: format and repetition, length, custom functions."""
