"""How much of a model is computed at once: what is computed and what is planned agree on it."""

LOGITS_AT_ONCE = 2**24  # values of the output layer; 64 MiB in fp32
TOKENS_AT_ONCE = 4096  # of prompts and answers in a pass of exact training, if they are as many
