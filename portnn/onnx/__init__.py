"""Networks as ONNX files: the forward pass is recorded, and each recorded operation becomes a node or a few."""
