"""llama.cpp: what its converter takes, GGUF files, and the server that proves them."""
