"""More requests than the service can answer: `python -m loadtests.overload`.

What can be answered is measured first. Then requests leave by a schedule, at one, two, five and ten times that rate,
whether or not earlier ones have been answered. A good service answers as many as before, and refuses the others at
once. The client has a core for itself, and the server another one.
"""
