"""Error bounds, and a reference of 50 digits."""
