"""Masks of several formats on the grids that they have, or on that of the image that they were drawn on."""
