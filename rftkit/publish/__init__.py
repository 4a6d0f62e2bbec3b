"""`rftkit push`: a model on the Hugging Face hub, with its card, without the images behind it.

`contents` says which files travel and what is taken out of them, `card` writes the README.md,
`facts` what it says of an evaluation, `licence` finds whose terms the base has, `hub` uploads.
"""
