"""Schedules for the learning rate, of portnn/optim/schedules.py: ``Adam(portnn.schedules.Cosine(0.01, 400))``."""

from portnn.deprecated import renamed_globals
from portnn.optim.schedules import Constant, Cosine, Exponential, OneCycle, Schedule, StepDecay, WarmUp

__getattr__ = renamed_globals(__name__, {"Steps": "StepDecay"})
__all__ = ["Constant", "Cosine", "Exponential", "OneCycle", "Schedule", "StepDecay", "WarmUp"]
