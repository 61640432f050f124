"""The figures of an evaluation: one module for each, one style, and the table of them in `figures`.

Curves and bins are computed in `curves`, not here. Figures of a comparison are in `comparison`, of explanations in
`explanation`; they use the same `style`.
"""
