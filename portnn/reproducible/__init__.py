"""Reproducible arithmetic: the same bits on every array library, device, BLAS and number of threads."""
