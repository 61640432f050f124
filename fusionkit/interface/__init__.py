"""The Python interface: one file per verb, each a function with the options of the command of that name.

The command line only prints what these functions return. The work itself is done in the packages below: here options
are read, cases are loaded, and results become values that display themselves.
"""
