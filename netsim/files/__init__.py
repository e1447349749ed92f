"""Configuration files: fields, presets, quantities with units, learning-rate schedules."""
