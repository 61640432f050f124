"""From a graph to its plan: components found, options checked, shapes inferred; and the plan written back.

No tensor is made here. Costs are measured in `network`, on the meta device.
"""
