"""Optimizers, gradient transformations, and learning-rate schedules."""
