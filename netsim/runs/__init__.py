"""What is trained, timed and kept: experiments, trainings, checkpoints, sweeps, results."""
