"""The results of an evaluation: `summary.json`, computed from a samples file and nothing else."""

from rftkit.metrics.schema import Summary
from rftkit.metrics.summary import summarise, to_json
from rftkit.metrics.verdict import broken_gates

__all__ = ["Summary", "broken_gates", "summarise", "to_json"]
