"""Measurements of running servers from outside: nothing here imports the service or the models' code."""
