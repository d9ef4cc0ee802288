"""Fused programs: a recorded step becomes matrix products and a few CUDA kernels, whose source is generated."""
