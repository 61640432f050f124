"""Training of one network: settings, batches, the loop, checkpoints, several processes, and what it will cost.

Which cases a network learns from is decided in `runs`. Losses belong to the heads, which are plugins.
"""
