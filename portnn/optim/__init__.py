"""Optimizers, the transforms around their rules, and schedules of the learning rate."""
