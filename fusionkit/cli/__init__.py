"""The command line: arguments in, exit code out, one file a command.

What a command does lives in the packages below, so that Python can do the same. Messages are made where an error is
found; here they are only printed.
"""
