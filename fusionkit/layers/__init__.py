"""Blocks of PyTorch for authors of plugins: masks for missing rows, projections, norms and read-outs.

Authors import them from `fusionkit.api`. Blocks of one published network live with its plugin.
"""
