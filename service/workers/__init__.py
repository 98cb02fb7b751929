"""The processes of one server: they share the port, count together, and do together what one of them is told.

What they share lies in a folder that the first process makes and removes: counters, what is wanted, a socket each.
"""

FOLDER = "ACTSERVE__FOLDER"
"""Environment variable by which the first process tells its workers where that is; not a setting."""
