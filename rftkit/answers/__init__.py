"""From a completion to an answer and back: replies, labels, boxes, numbers as text."""
