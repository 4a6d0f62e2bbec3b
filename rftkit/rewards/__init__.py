"""Rewards that any task may use: general ones, by length, custom functions."""
