"""Several processes on one comparison: units of work in a shared folder, and what starts the processes.

How a unit is trained is told by the folder above; nothing here knows of networks. No process speaks to another: what
they know of each other is in files.
"""
