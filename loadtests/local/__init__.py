"""Servers on this machine: how they are started, spoken to, watched from outside and ended; and pages of results."""
