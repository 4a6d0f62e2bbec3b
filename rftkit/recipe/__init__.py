"""One TOML file is one run: the schema, reading, the built-in recipes."""
