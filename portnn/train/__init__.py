"""One fit: its loop, callbacks, checkpoints and history."""
