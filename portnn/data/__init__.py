"""Data intake: checks and converts a user's data to the arrays that a network trains on."""
