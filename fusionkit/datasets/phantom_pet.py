"""The PET of the synthetic cohort: the body of the CT on a coarse grid of its own, with an uptake that encodes u again.

So CT and PET together show u and nothing else of the label. Values are SUV, lengths are in mm, axes in the order depth,
height, width.
"""

from __future__ import annotations

import numpy as np

from fusionkit.datasets.phantom_image import Anatomy, Canvas, Sampling, Volume, blurred

PET_SIZE = (12, 16, 16)
PET_SPACING_MM = (4.0, 4.0, 4.0)
PET_CENTRE_MM = (2.0, -3.0, 5.0)  # so that no corner is where one of the CT is
UPTAKE, UPTAKE_PER_U = 5.0, 1.2

_LUNG, _SOFT = 0.4, 1.2
_NOISE, _BLUR_MM = 0.15, 6.0
_LEAST = 0.6  # an uptake is above that of lung, however small u is


def render_pet(anatomy: Anatomy, u: float, rng: np.random.Generator, turn: float = 0.0) -> Volume:
    """A PET of a body that is turned by so many degrees; the nodule takes up 5 + 1.2 u before it is blurred.

    Shapes: `PET_SIZE`, float32 SUV from 0 up.
    """
    sampling = Sampling(PET_SIZE, PET_SPACING_MM, turn, PET_CENTRE_MM)
    canvas = Canvas(np.full(PET_SIZE, _LUNG, np.float32), sampling)
    canvas.paint_wall(anatomy, _SOFT)
    for rod in anatomy.rods:
        canvas.paint_rod(rod, _SOFT)
    canvas.paint_nodule(anatomy, max(UPTAKE + UPTAKE_PER_U * u, _LEAST))
    volume = blurred(canvas.volume, sampling, _BLUR_MM)
    noisy: Volume = volume + np.float32(_NOISE) * rng.standard_normal(PET_SIZE, dtype=np.float32)
    return np.maximum(noisy, np.float32(0.0))
