"""Schedules for the learning rate, of portnn/nn/schedules.py: ``Adam(portnn.schedules.Cosine(0.01, 400))``."""

from portnn.nn.schedules import *  # noqa: F403
