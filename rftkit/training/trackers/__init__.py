"""Where a run's figures go beside its own files, if `--log` asks for it.

TensorBoard and Trackio take what the trainer logs, by transformers' own callbacks. A tracker here
takes what rftkit itself knows: rewards by name, rollouts with their images, the evaluation, the
report. `tracker` says what one is, `opening` opens it, `weights_and_biases` is the only one so far.
"""
