"""Images that rftkit draws itself, for the built-in tiny models."""
