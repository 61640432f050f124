"""The checks of the conformance kit: each takes a probe of a component and returns the fault it finds, or None.

The inputs and options a component is tested with are chosen in `probing`. Which checks apply to a component, and how
exceptions are handled, is decided in `conformance`.
"""
