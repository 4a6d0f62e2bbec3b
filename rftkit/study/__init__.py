"""A study: a grid of runs, one after another on this machine, and one page about them."""

from rftkit.study.run import broken, plan_study, read_study, run_study
from rftkit.study.schema import StudySummary

__all__ = ["StudySummary", "broken", "plan_study", "read_study", "run_study"]
