"""`rftkit export`: a fine-tuned model as files that others run, each proved against the adapter."""
