"""``python -m netsim``: the command line."""

from netsim.commands.app import main

main()
