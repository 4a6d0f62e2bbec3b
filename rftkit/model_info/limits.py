"""How much of a model is computed at once: what is computed and what is planned agree on it."""

LOGITS_AT_ONCE = 2**24  # values of the output layer; 64 MiB in fp32
