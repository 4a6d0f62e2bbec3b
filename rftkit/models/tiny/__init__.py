"""The built-in tiny models: drawn lessons, pretraining, the cache."""
