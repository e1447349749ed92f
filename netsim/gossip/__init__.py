"""Consensus alone from a configuration file: problems, the search for step sizes, results and figures."""
