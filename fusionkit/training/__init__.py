"""Training of one network: settings, batches, the loop, checkpoints, several processes, and cost estimates.

The training cases are chosen in `runs`. Losses belong to the heads, which are plugins.
"""
