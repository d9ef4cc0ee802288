"""Schedules for the learning rate, of portnn/optim/schedules.py: ``Adam(portnn.schedules.Cosine(0.01, 400))``."""

from portnn.optim.schedules import Constant, Cosine, Exponential, OneCycle, Schedule, Steps, WarmUp

__all__ = ["Constant", "Cosine", "Exponential", "OneCycle", "Schedule", "Steps", "WarmUp"]
