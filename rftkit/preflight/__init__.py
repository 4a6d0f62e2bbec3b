"""Everything that is looked at before a model is loaded: init, check, attacks."""
