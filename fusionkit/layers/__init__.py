"""PyTorch blocks for plugin authors: masks for missing rows, projections, norms and read-outs.

Plugins import them from `fusionkit.api`. Blocks of one published network live with its plugin.
"""
