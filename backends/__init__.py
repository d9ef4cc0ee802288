"""Adapters: one file per array library, reached through ``portnn.get_backend``."""
