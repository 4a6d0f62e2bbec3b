"""Alarms while a model learns: what each looks at, and how a run raises them."""
