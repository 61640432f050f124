"""The checks of the conformance kit: each takes a probe of a component and returns the fault it finds, or None.

What a component is tried on is chosen in `probing`. Which checks concern a component, and what becomes of an
exception, is decided in `conformance`.
"""
