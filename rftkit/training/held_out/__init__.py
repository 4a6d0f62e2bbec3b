"""Examples that are not trained on: which step's adapter is kept, and how sure it may be."""
