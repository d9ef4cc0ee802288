"""The model: layouts of the parameters, the pure step, and the runtime with its state."""
