"""Recorded steps: what a step does is recorded once, its memory planned, its code generated, and then run."""
