"""Rows of the contract table: PENet and its parts, in 2D and 3D, and every option that builds otherwise."""

from __future__ import annotations

from typing import Any

IMAGE, VOLUME = (6, 11, 13), (6, 3, 7, 5)
BOTH = (IMAGE, VOLUME)
SCANS = [(1, 29, 23), (1, 5, 23, 17)]
PENET, BOTTLENECK, DECODER = "encoder.penet", "encoder.penet_bottleneck", "encoder.penet_decoder"
SMALL = {"blocks": [2, 1], "width": 8, "stem_width": 8, "cardinality": 2, "reduction": 4}
BLOCK = {"width": 8, "cardinality": 2, "reduction": 4}
STEPS = {"middles": [8, 4], "widths": [4, 6], "slice_strides": [2, 1]}
PYRAMIDS = [[(4, 22, 25), (5, 11, 13)], [(4, 5, 13, 10), (5, 3, 7, 5)]]

ROWS: list[tuple[Any, ...]] = [
    *[("encoder.se", {"reduction": reduction, "activation": activation}, [sizes])
      for reduction, activation in ((3, "leaky_relu"), (1, "relu")) for sizes in BOTH],
    *[(BOTTLENECK, BLOCK | options, [sizes]) for sizes in BOTH for options in (
        {}, {"stride": 2, "norm": "batch"}, {"expansion": 3, "norm": "layer", "survival": 0.5, "drop": "case"})],
    (BOTTLENECK, BLOCK | {"width": 3, "cardinality": 1, "survival": 0.5}, [(6, 3, 7, 5)]),
    *[("encoder.aspp", {"width": 12, "dilations": dilations, "norm": norm}, [sizes]) for sizes in BOTH
      for dilations, norm in (([6, 12], "group"), ([3], "batch"), ([1, 2, 3, 4], "layer"))],
    *[(PENET, SMALL | options, [sizes]) for sizes in SCANS for options in (
        {}, {"output": "both", "levels": [2, 0]}, {"output": "pooled", "aspp": 12, "start": "kaiming"},
        {"norm": "batch", "channels": "own", "drop": "case"}, {"norm": "layer", "final_survival": 1.0})],
    *[(PENET, SMALL | {"channels": channels, "start": start}, [(2, 2, 13, 11)])
      for channels, start in (("mean", "normal"), ("repeat", "xavier"))],
    *[(DECODER, STEPS | options, inputs) for inputs in PYRAMIDS for options in ({}, {"outputs": 3, "norm": "batch"})],
    *[(DECODER, STEPS | {"first_skip": 0, "norm": "layer"}, [(4, *inputs[1][1:]), inputs[1]]) for inputs in PYRAMIDS],
]
