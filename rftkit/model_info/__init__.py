"""Facts about models that need no weights: families of architectures, sizes."""
