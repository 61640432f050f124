"""The Python interface: one file a verb, each a function with the options of the command of that name.

The command line prints what these functions give, and no work is done there. How the work itself is done lives on the
floors below: here options are read, cases are loaded, and results become values that show themselves.
"""
