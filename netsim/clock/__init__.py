"""When it happens: networks, the engines that time a trace on them, and closed forms."""
