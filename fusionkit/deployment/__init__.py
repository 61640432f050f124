"""Trained networks outside of the laboratory: exported to a folder that needs no PyTorch, opened, and run.

The folder has the network as ONNX or as a program of PyTorch and everything else as data. Runs themselves are in
`runs`. Requests over HTTP are answered in `serving`.
"""
