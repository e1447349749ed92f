"""Communication: topologies, collectives, the communicator, and the trace of its messages."""
