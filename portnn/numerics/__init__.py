"""How far off a computation may be: error bounds, and a reference of 50 digits."""
