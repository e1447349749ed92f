"""Experiments, training, checkpoints, sweeps, tuning and results."""
