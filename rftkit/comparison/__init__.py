"""Runs, evaluations and adapters beside each other, on the same held-out images, pair by pair."""
