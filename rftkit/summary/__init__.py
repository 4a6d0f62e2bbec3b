"""The figures of an evaluation: `summary.json`, computed from a samples file and nothing else."""

from rftkit.summary.build import summarise, to_json
from rftkit.summary.schema import Summary
from rftkit.summary.verdict import broken_gates

__all__ = ["Summary", "broken_gates", "summarise", "to_json"]
