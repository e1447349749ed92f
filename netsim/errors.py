"""The one exception for what a user can mend."""


class NetsimError(ValueError):
    """A mistake in what the user gave: one line that names the file, the key and what would be right."""
