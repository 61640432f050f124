"""Rows of the contract table: the parts of the E3D-MSCA pyramid in 2D and 3D, with every option that matters."""

from __future__ import annotations

from typing import Any

IMAGE, VOLUME = (6, 7, 11), (6, 3, 5, 7)
BOTH = (IMAGE, VOLUME)
IMAGES = [(11, 11, 13), (13, 5, 7), (17, 3, 2)]
VOLUMES = [(11, 5, 11, 7), (13, 3, 5, 2)]
PYRAMIDS = (IMAGES, VOLUMES)
PYRAMID, DCFB = "encoder.e3d_msca", "encoder.dcfb"
SMALL = {"width": 19, "ratio": 1, "sab_kernel": 3, "kernels": [1, 3]}

ROWS: list[tuple[Any, ...]] = [
    *[("encoder.cab", {"ratio": ratio}, [sizes]) for ratio in (2, 16) for sizes in BOTH],
    *[("encoder.sab", {"kernel": 3, "start": start}, [sizes]) for start in ("uniform", "normal") for sizes in BOTH],
    *[(DCFB, options, [sizes]) for sizes in BOTH for options in (
        {}, {"width": 9, "merge": "concat", "activation": "prelu"}, {"stride": 2, "kernels": [1, 5], "expansion": 3},
        {"parallel": False, "kernels": [3, 1], "activation": "hardswish"})],
    *[("encoder.ucb", options, [sizes]) for sizes in BOTH for options in ({}, {"width": 5, "upsample": "nearest"})],
    *[("fusion.bfpu", {"variant": variant}, inputs) for variant in ("release", "paper")
      for inputs in ([IMAGES[1], IMAGES[0]], [VOLUMES[1], VOLUMES[0]], [IMAGE, IMAGE])],
    *[(PYRAMID, SMALL, inputs) for inputs in PYRAMIDS],
    (PYRAMID, SMALL | {"fusion": "paper", "pool": "avg"}, IMAGES),
    (PYRAMID, SMALL | {"output": "both", "share_sab": False, "norm": "group"}, VOLUMES),
    (PYRAMID, SMALL | {"upsample": "nearest", "sab_start": "normal", "merge": "concat", "parallel": False}, IMAGES),
    (PYRAMID, SMALL | {"norm": "none", "output": "map"}, [VOLUME]),
]
