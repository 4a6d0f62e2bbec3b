"""Shared-prefix GRPO: the prompt and its image are encoded once per group, not once per completion.

groups.py finds the rows of a batch that share a prompt, packing.py lays a prompt group out as one
row, forward.py runs it through the model, logps.py gives TRL its log-probabilities back.
decoding.py prefills each prompt once for `generate`, on a KV cache that grows in blocks
(kv_cache.py). image_cache.py and feature_cache.py keep processed images and image features, both
as lru.py bounds them. trainer.py puts all of it into TRL's GRPOTrainer.

Notation: the capitals at the end of a name are the dimensions of a tensor, or of nested lists.

    B  rows of TRL's batch, one completion each     C  columns of the completion part of a batch
    P  prompts of a forward, one per group          T  tokens of one sequence
    G  completions of one group (ragged)            L  positions of a packed row
    N  completion tokens of all groups together     D  hidden size
    A  axes of the position ids: 1, or 3 for M-RoPE

So `input_ids_BT` is (rows, tokens), `position_ids_APL` is (axes, prompts, positions), and
`completions_G` is a list of 1-d tensors, one for each completion of a group.
"""
