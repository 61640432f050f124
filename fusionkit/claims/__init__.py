"""Published results as files: what was claimed, of which network and data, and what becomes of a figure measured again.

Nothing is trained here: `interface` does that, by the same function as `fusionkit train`. The claims themselves stand
with plugins, which publish them. No torch.
"""
