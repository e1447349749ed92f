"""Layers batched over workers, each derivative directly below its operation.

The leading axis of everything is the worker, and every worker has its own weights. Images are (w, B, H, W, C): workers,
samples, rows, columns, channels. An operation returns what its derivative needs beside its result (``kept``); a kept
value serves one derivative, which may overwrite it. Where a function works in place, it says so.
"""
