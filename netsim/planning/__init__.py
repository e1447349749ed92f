"""Before a run: what it sends, how long it takes, how much memory it needs."""
