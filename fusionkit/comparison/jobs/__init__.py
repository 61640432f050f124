"""Several processes on one comparison: units of work in a shared folder, and what starts the processes."""
