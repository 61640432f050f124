"""From a graph to its plan: look up components, check options, infer shapes; and write the plan back as a graph.

No tensor is created here. Costs are measured in `network`, on the meta device.
"""
