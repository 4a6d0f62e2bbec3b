"""The compare app: what `rftkit demo` and `python app.py` open in a browser."""
