"""Rows of the contract table: DRIFA's attention and MultiFusionNet's parts."""

IMAGE, VOLUME, TOKENS = (5, 7, 11), (5, 3, 7, 5), (11, 5)
SMALL = {"width": 3}
KEPT = "layers behind the last tap are kept, so that the release's weights fit whole"

ROWS = [
    *[("encoder.mfa", {}, [shape]) for shape in (IMAGE, VOLUME, TOKENS)],
    ("encoder.mfa", {"units": 1}, [IMAGE]),
    ("encoder.mfa", {"scale": False, "rank": 2, "preset": "torch"}, [IMAGE]),
    *[("encoder.rra", {"width": 5}, [shape]) for shape in (IMAGE, VOLUME)],
    ("encoder.rra", {"width": 3, "stride": [2, 1]}, [IMAGE]),
    ("encoder.rra", {"width": 3, "stride": 2, "attention": False}, [VOLUME]),
    ("encoder.rra", {"width": 5, "shortcut": "projection", "rank": 2, "scale": False, "preset": "torch"}, [IMAGE]),
    *[("encoder.drifa_stem", SMALL, [shape]) for shape in ((2, 13, 17), (2, 7, 13, 11))],
    ("encoder.drifa_stem", {"width": 3, "attention": False, "preset": "torch"}, [(2, 13, 17)]),
    ("fusion.mifa", {}, [IMAGE, (5, 3, 13)]),
    ("fusion.mifa", {}, [VOLUME, (5, 2, 3, 7), (5, 3, 3, 2)]),
    ("fusion.mifa", {}, [TOKENS, (7, 5)]),
    ("fusion.mifa", {"units": 4, "reduce": "scaled"}, [IMAGE, (3, 3, 13), (4, 5, 2)]),
    ("fusion.mifa", {"scale": False, "preset": "torch"}, [IMAGE, VOLUME]),
    ("fusion.mifa", {}, [IMAGE]),
    ("fusion.fdsfm", SMALL, [IMAGE, (2, 13, 17)]),
    ("fusion.fdsfm", {"width": 3, "norm": "group", "preset": "torch", "align": "fixed"}, [VOLUME, (2, 5, 7, 5)]),
    ("fusion.fdsfm", {"width": 24, "merge": "project_concat", "pool": "avg"}, [IMAGE, (2, 13, 17)]),
    ("fusion.fdsfm", {"merge": "concat", "pool": "interp"}, [IMAGE, (2, 13, 17)]),
    ("fusion.fdsfm", {"width": 3, "grid": "last", "upsample": "linear"}, [(2, 13, 5), IMAGE]),
    ("encoder.resnet50v2", {"width": 4, "taps": ["post_relu", "conv2_block3_3_conv"]}, [(3, 37, 41)]),
    ("encoder.resnet50v2", {"width": 4, "taps": ["conv4_block6_out"], "normalise": "none"}, [(1, 37, 41)],
     {"gradients: blocks.conv5_*": KEPT, "gradients: post_bn.*": KEPT}),
    ("encoder.inceptionv3", {"width": 4, "taps": ["mixed10", "conv2d_90"]}, [(3, 79, 83)]),
    ("encoder.inceptionv3", {"width": 4, "taps": ["mixed0"], "normalise": "none"}, [(1, 79, 83)],
     {"gradients: units.1[2-9].*": KEPT, "gradients: units.[2-9][0-9].*": KEPT}),
    *[("encoder.timm_stages", {"model": "resnet18", "stage": stage}, [shape])
      for stage, shape in ((0, (3, 37, 41)), (2, (64, 7, 11)))],
]
