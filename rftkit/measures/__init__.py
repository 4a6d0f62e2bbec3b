"""Numbers from lists of numbers and boxes: intervals, tests, mAP; no model, no file."""
