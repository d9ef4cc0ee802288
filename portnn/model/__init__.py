"""How the vocabulary becomes a training step: layouts, the pure step, and the runtime that holds its state."""
