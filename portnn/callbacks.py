"""Callbacks of ``fit``, of portnn/train/callbacks.py: ``callbacks=[portnn.callbacks.EarlyStopping()]``."""

from portnn.train.callbacks import Callback, CSVLogger, EarlyStopping, ReduceOnPlateau

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "ReduceOnPlateau"]
