"""What finished and unfinished work left in its folders, as plain data: which runs there are, how two of them differ.

No folder is written and no network is loaded: torch is not imported. How a run is made is the matter of `runs`.
"""
