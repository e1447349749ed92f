"""Commands that a test interrupts."""

import signal


def heed_interrupts() -> None:
    """Undo, in a child before it starts, what a shell does to commands in its background: they, and all that they start, are deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
