"""Tensor layouts, the rule notation, and presence expressions.

No module is run here. `network` and `testing` check a component's rule against its module.
"""
