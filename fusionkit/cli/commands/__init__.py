"""One file a command: `run(args, console)` does the work and gives the exit code."""
