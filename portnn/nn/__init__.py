"""The components of networks: layers, losses, activations, initializers. Add yours to the table of its file."""
