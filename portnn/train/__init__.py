"""Training: the fit loop, callbacks, checkpoints and history."""
