"""Rows of the contract table: encoder.kan and MMCAF-Net's fusion, layouts and options that change what is built."""

from __future__ import annotations

from typing import Any

VECTOR, TOKENS = (5,), (7, 5)
EQUAL, TOKENS_AND_VECTOR = [(12,), (12,)], [(7, 12), (12,)]
THREE = [(7, 12), (5, 12), (3, 12)]
KAN, MSCA = "encoder.kan", "fusion.msca"
DEAD = "one token on each side: attention over a single key is 1 whatever the query is"
ALONE = {"gradients: attention.*.query.*": DEAD, "gradients: attention.*.key.*": DEAD}

ROWS: list[tuple[Any, ...]] = [
    *[(KAN, {"width": 11, "hidden": [3], "outside": outside}, [sizes])
      for outside in ("zero", "clamp", "linear") for sizes in (VECTOR, TOKENS)],
    (KAN, {"width": 3, "order": 2, "intervals": 7, "base": "none", "squash": True}, [VECTOR]),
    (KAN, {"width": 3, "sparse": True, "base": "gelu", "scale_sp_init": "fan_in", "range": [-3.0, 5.0]}, [TOKENS]),
    (KAN, {"width": 3, "update_every": 2, "outside": "linear"}, [VECTOR]),
    *[("fusion.bsf", {"width": width, "merge": merge}, [(12,), (5,)])
      for width in (None, 7) for merge in ("sum", "concat")],
    ("fusion.msca_attention", {"heads": 3}, [(12,), (5,)],
     {"gradients: attention.query.*": DEAD, "gradients: attention.key.*": DEAD}),
    ("fusion.msca_attention", {"heads": 3}, [(7, 12), (5, 11), (2, 11)]),
    *[(MSCA, {"norm": norm, "dropout": 0.3}, inputs, ALONE if inputs is EQUAL else {}) for norm in ("batch", "layer")
      for inputs in (EQUAL, TOKENS_AND_VECTOR, THREE)],
    (MSCA, {"width": 10, "scales": 2, "merge": "concat", "chain": True}, [(5,), (10,), (7,)]),
    (MSCA, {"width": 11, "scales": 4, "scale_widths": [7, 3, 5], "chain": True, "heads": [7, 3]}, [(2, 5), (3, 11)]),
    (MSCA, {"scales": 1}, [(12,), (5, 12)]),
    *[("fusion.simple_fuse", {"norm": norm}, inputs, ALONE if inputs is EQUAL else {})
      for norm in ("batch", "layer") for inputs in (EQUAL, THREE)],
    ("fusion.simple_fuse", {"width": 7, "heads": 7}, [(5,), (7,), (3,)]),
]
