"""Shapes of inputs: every layout, small sizes with primes and ones among them."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from fusionkit.shapes.layouts import LAYOUTS, TensorShape

FEATURES = (2, 3, 5, 7, 4, 11, 8, 13, 1, 16, 24)
"""Widths and numbers of tokens; counterexamples shrink to the first ones."""
MOST_NUMBERS = 40_000
"""Numbers in one tensor of one case; more make a graph slow, whatever its parameters."""
_GRIDS = (
    {2: (5, 7, 3, 11, 8, 2, 1), 3: (3, 5, 4, 7, 2, 1)},
    {2: (16, 17, 32, 37, 64), 3: (8, 11, 16, 17, 24)},
    {2: (75, 96), 3: (32, 33)},
)
LARGEST = len(_GRIDS) - 1
_AXES = {"image": 2, "volume": 3}


@st.composite
def grids(draw: DrawFn, rank: int, scale: int | None = None) -> tuple[int, ...]:
    """The spatial axes of an image (rank 2) or a volume (rank 3): `scale` from 0 to `LARGEST`, else mostly small."""
    chosen = draw(st.sampled_from((0, 0, 0, 1))) if scale is None else scale
    side = st.sampled_from(_GRIDS[chosen][rank])
    return tuple(draw(side) for _ in range(rank))


def features() -> SearchStrategy[int]:
    """A width, or a number of tokens."""
    return st.sampled_from(FEATURES)


def fitting(width: int, grid: tuple[int, ...]) -> int:
    """A width up to a limit with which a map does not have too many numbers."""
    return max(1, min(width, MOST_NUMBERS // prod(grid)))


@st.composite
def shapes(draw: DrawFn, layouts: Collection[str] = tuple(LAYOUTS)) -> TensorShape:
    """The shape of one input of one of the layouts, without the batch axis."""
    layout = draw(st.sampled_from([name for name in LAYOUTS if name in layouts]))
    if layout not in _AXES:
        return LAYOUTS[layout](tuple(draw(features()) for _ in LAYOUTS[layout].axes))
    grid = draw(grids(_AXES[layout]))
    return LAYOUTS[layout]((fitting(draw(features()), grid), *grid))
