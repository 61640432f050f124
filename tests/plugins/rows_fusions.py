"""Rows of the contract table: fusions, every layout and every option that changes what is built."""

VECTORS = [(5,), (7,), (3,)]
TOKENS = [(11, 5), (11, 7)]
IMAGES = [(3, 5, 7), (2, 5, 7)]
VOLUMES = [(3, 2, 5, 7), (2, 2, 5, 7)]
EQUAL_VECTORS = [(5,), (5,), (5,)]
EQUAL_TOKENS = [(11, 5), (11, 5)]
EQUAL_IMAGES = [(3, 5, 7), (3, 5, 7)]
EQUAL_VOLUMES = [(3, 2, 5, 7), (3, 2, 5, 7)]

PROJECTING = [("fusion." + name, {"width": 13}, inputs)
              for name in ("concat", "sum", "mean", "weighted_sum", "product", "max", "gmu")
              for inputs in (VECTORS, TOKENS, VOLUMES)]
AS_THEY_ARE = [("fusion." + name, {}, inputs)
               for name in ("sum", "mean", "weighted_sum", "product", "max")
               for inputs in (EQUAL_VECTORS, EQUAL_IMAGES)]
CROSS = "fusion.cross_attention"

ROWS = [
    *PROJECTING,
    *AS_THEY_ARE,
    ("fusion.concat", {}, VECTORS),
    ("fusion.concat", {"fill": -1.0, "availability": True, "rescale": True}, VECTORS),
    ("fusion.concat", {"availability": True}, TOKENS),
    ("fusion.concat", {"availability": True}, IMAGES),
    ("fusion.concat", {"axis": "tokens", "availability": True, "width": 13}, [(11, 5), (7, 5)]),
    ("fusion.weighted_sum", {"norm": "fast", "groups": "features"}, EQUAL_VECTORS),
    ("fusion.weighted_sum", {"norm": "softmax", "groups": "features"}, EQUAL_TOKENS),
    ("fusion.weighted_sum", {"norm": "none", "groups": "features"}, EQUAL_VOLUMES),
    ("fusion.weighted_sum", {"norm": "fast", "groups": 5, "width": 15}, TOKENS),
    ("fusion.product", {"residual": True, "norm": True, "output_width": 11}, EQUAL_IMAGES),
    ("fusion.product", {"tanh": False, "output_width": 11, "width": 13}, TOKENS),
    ("fusion.gmu", {"width": 13, "norm": "sigmoid", "bias": False}, VECTORS),
    ("fusion.gmu", {"width": 13}, [(11, 5), (11, 7), (11, 2)]),
    ("fusion.gmu", {"width": 13}, IMAGES),
    ("fusion.late_mean", {}, [(5,), (5,), (5,)]),
    ("fusion.late_mean", {"task": "multilabel"}, [(5,), (5,)]),
    ("fusion.late_mean", {"space": "logit"}, [(5,), (5,)]),
    (CROSS, {"width": 14, "heads": 2, "vector_to_tokens": 3, "mode": "bidirectional"}, [(5,), (11, 7)]),
    (CROSS, {"width": 14, "heads": 2, "vector_to_tokens": 3}, [(11, 5), (7,)]),
    (CROSS, {"width": 14, "heads": 2, "dropout": 0.5}, [(11, 5), (7, 3), (2, 3)]),
    (CROSS, {"heads": 1}, [(11, 5), (7, 5)]),
    (CROSS, {"width": 14, "heads": 2, "mode": "bidirectional"}, [(11, 5), (7, 3)]),
    (CROSS, {"heads": 1, "vector_to_tokens": 3, "mode": "bidirectional", "zero_start": True}, [(5,), (5,)]),
    (CROSS, {"width": 14, "heads": 2, "mode": "bidirectional", "share": True}, [(5,), (3,), (7,)]),
]
