"""Array code that differs between kinds of device, out of the papers' files."""
