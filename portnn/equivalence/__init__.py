"""The proof that the backends give the same numbers."""
