"""Data sets: loading, checking, partitioning between workers, and minibatches."""
