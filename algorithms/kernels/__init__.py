"""Array code that differs between CPUs and GPUs, kept out of the papers' files."""
