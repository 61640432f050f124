"""The local page: a server on this machine, the process that plans graphs for it, and the files of the page.

It is imported by `fusionkit studio` alone, as are starlette and uvicorn. What it shows is read by `records`, `planning`
and `drawing`: nothing about graphs or runs is decided here. The server itself imports neither torch nor a plugin.
"""
