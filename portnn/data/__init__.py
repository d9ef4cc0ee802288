"""From what users hand in to arrays that the core can take, and files."""
