"""What goes wrong in a server's life, done to a server under load: `python -m loadtests.chaos`.

Each experiment starts servers of its own on free ports of this machine, drives them with a ledger, does the harm, and
tells what was sent, answered and lost, with a line for each thing that must hold. It needs Linux; nginx for two of
them.
"""
