"""What can be said in a file: the keys, presets, quantities with units, learning-rate schedules."""
