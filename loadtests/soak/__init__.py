"""A million requests of every kind, good and bad: `python -m loadtests.soak`. Memory and open files must stay flat."""
