"""Who talks to whom, and what is said: topologies, collectives, the communicator and its trace."""
