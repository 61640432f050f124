"""The network of a plan as an `nn.Module`: built, measured, saved, loaded and rewritten for inference.

Shapes are inferred in `planning`, before there is a module. Training and sampling are in the packages above.
"""
