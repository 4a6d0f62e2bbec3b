"""Base and tuned model on one picture: what `rftkit predict` prints and the compare app shows."""

from rftkit.compare.predictions import Prediction, predict

__all__ = ["Prediction", "predict"]
