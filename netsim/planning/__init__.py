"""Predictions before a run: bytes, times and memory."""
