"""Bytes and times without training."""
