"""Rows of the contract table: encoders, every layout and every option that changes what is built."""

from __future__ import annotations

from typing import Any

VECTOR, TOKENS, IMAGE, VOLUME = (5,), (7, 5), (3, 11, 13), (2, 5, 11, 7)
EVERY_LAYOUT = (VECTOR, TOKENS, IMAGE, VOLUME)
TIMM = "encoder.timm"
HF_SMALL = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 8}
HF_VISION = [
    ({"model_type": "dinov2_with_registers", **HF_SMALL, "mlp_ratio": 2, "image_size": 16, "patch_size": 4,
      "num_register_tokens": 2}, (3, 12, 20)),
    ({"model_type": "convnext", "hidden_sizes": [4, 8, 12, 16], "depths": [1, 1, 1, 1]}, (3, 64, 32)),
    ({"model_type": "swin", "image_size": [8, 12], "patch_size": 2, "embed_dim": 6, "depths": [1, 1],
      "num_heads": [2, 3], "window_size": 2}, (3, 8, 12)),
]
HF_TEXT = {"vocab_size": 40, "max_position_embeddings": 32, **HF_SMALL}
HF_KINDS: list[dict[str, Any]] = [
    {"model_type": "bert", **HF_TEXT}, {"model_type": "roberta", "pad_token_id": 1, **HF_TEXT},
    {"model_type": "modernbert", "pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2,
     "sep_token_id": 2, "local_attention": 4, "global_attn_every_n_layers": 2, **HF_TEXT},
    {"model_type": "electra", **HF_TEXT, "embedding_size": 7},
    {"model_type": "distilbert", "dim": 12, "n_layers": 2, "n_heads": 3, "hidden_dim": 8, "vocab_size": 40,
     "max_position_embeddings": 32},
]

ROWS: list[tuple[Any, ...]] = [
    *[("encoder.project", {"width": 13, "norm": norm, "activation": "gelu"}, [sizes])
      for norm in ("none", "batch", "group", "layer") for sizes in EVERY_LAYOUT],
    *[("encoder.mlp", {"width": 3, "hidden": [13, 11], "norm": norm, "dropout": 0.3}, [sizes])
      for norm in ("none", "batch", "group", "layer") for sizes in (VECTOR, TOKENS)],
    ("encoder.mlp", {"width": 3, "hidden": []}, [VECTOR]),
    *[("encoder.dropout", {"mode": mode}, [sizes]) for mode in ("elementwise", "channel") for sizes in EVERY_LAYOUT],
    *[("encoder.placeholder", {"start": start}, [sizes]) for start in ("zeros", "normal") for sizes in EVERY_LAYOUT],
    *[("encoder.placeholder", {"value": "mean"}, [sizes]) for sizes in EVERY_LAYOUT],
    *[("encoder.placeholder", {"value": "prototype", "prototypes": 3}, [sizes]) for sizes in EVERY_LAYOUT],
    *[("encoder.pool", {"kind": kind}, [sizes])
      for kind in ("avg", "max", "avgmax", "gem") for sizes in (TOKENS, IMAGE, VOLUME)],
    *[("encoder.pool", {"to": "tokens"}, [sizes]) for sizes in (IMAGE, VOLUME)],
    *[("encoder.flatten", {}, [sizes]) for sizes in (TOKENS, IMAGE, VOLUME)],
    ("encoder.position", {"width": 6}, [(7, 1)]),
    ("encoder.embed", {"width": 11}, [VECTOR]),
    ("encoder.embed", {"categories": [3, 7], "width": 11, "dropout": 0.3}, [VECTOR]),
    ("encoder.embed", {"categories": [3], "width": 11}, [(1,)],
     {"gradients: input:table": "the numbers of categories choose embeddings, and have no gradient themselves"}),
    *[(f"encoder.{name}", {"width": 8, "layers": layers}, [TOKENS]) for name in ("lstm", "gru") for layers in (1, 2)],
    *[("encoder.grud", {"width": 6, "output": output, "delta_unit": "min"}, [TOKENS])
      for output in ("vector", "tokens")],
    *[("encoder.mtand", {"width": 6, "reference": 3, "heads": heads}, [TOKENS]) for heads in (1, 2)],
    *[("encoder.transformer", {"width": 8, "heads": 2, "layers": 1, "output": output, "dropout": 0.3}, [TOKENS])
      for output in ("vector", "tokens")],
    ("encoder.strats", {"width": 6, "scale": True, "norm": "layer", "variable_dropout": 0.3}, [TOKENS]),
    *[("encoder.strats", {"width": 6, "output": output, "dropout": dropout}, [TOKENS])
      for output in ("vector", "tokens") for dropout in (0.0, 0.3)],
    *[("encoder.text_embed", {"width": 8, "positions": positions, "dropout": 0.3}, [TOKENS])
      for positions in ("sincos", "none")],
    *[("encoder.conv", {"widths": [8, 6], "norm": norm, "output": output, "dropout": 0.3}, [sizes])
      for norm in ("batch", "group", "none") for output in ("pooled", "map", "taps") for sizes in (IMAGE, VOLUME)],
    ("encoder.conv", {"widths": [7], "blocks": 2, "stem_stride": 3}, [IMAGE]),
    ("encoder.conv", {"widths": [5, 7], "blocks": 0}, [IMAGE]),
    *[("encoder.resnet3d", {"depth": depth, "blocks": [1, 1, 1, 1], "width": 4, "output": output, **options},
       [(2, 9, 17, 13)])
      for depth, output, options in ((10, "pooled", {"preset": "medicalnet"}), (50, "map", {}),
                                     (18, "taps", {"shortcut": "A"}))],
    *[("encoder.nnunet", {"features_per_stage": [4, 6], "strides": [1, 2], "output": output, **options}, [sizes])
      for output, options, sizes in (
          ("taps", {"kernel_sizes": [3, 1], "n_conv_per_stage": [1, 2], "conv_bias": False}, (2, 5, 11, 7)),
          ("map", {"network": "residual", "n_blocks_per_stage": [1, 2], "conv_bias": False}, (2, 6, 14, 10)),
          ("pooled", {}, IMAGE))],
    *[("encoder.monai", {"network": network, "features": features, **options}, [sizes])
      for network, features, options, sizes in (
          ("densenet121", "taps", {"width": 6, "blocks": [1, 2, 1], "growth": 3, "bottleneck": 2}, (2, 13, 17, 19)),
          ("densenet121", "map", {"width": 6, "blocks": [1, 1], "growth": 3}, (3, 17, 19)),
          ("seresnet50", "pooled", {"blocks": [1, 1, 1, 1]}, (1, 17, 13)),
          ("swin", "pooled", {"width": 6, "blocks": [2, 1, 1, 1], "heads": [1, 2, 3, 1], "window": 2}, (2, 9, 17, 13)),
          ("swin", "taps", {"width": 6, "blocks": [1, 1, 1, 1], "heads": [1, 1, 1, 1], "v2": True}, (2, 37, 13)),
          ("segresnet", "map", {"blocks": [1, 1]}, (2, 5, 11, 7)),
          ("segres_encoder", "taps", {"width": 5, "blocks": [1, 2], "norm": "instance"}, (2, 5, 11, 7)),
          ("vit", "map", {"width": 6, "blocks": [2], "heads": [3], "patch": [2, 3, 5]}, (2, 6, 9, 5)),
          ("vit", "pooled", {"width": 6, "blocks": [1], "heads": [2], "patch": [5], "class_token": True, "pool": "cls"},
           (3, 10, 15)))],
    *[(TIMM, {"model": "test_resnet", "features": features}, [(3, 37, 41)]) for features in ("pooled", "map", "taps")],
    *[("encoder.each_slice", {"encoder": {"use": "encoder.conv", "with": {"widths": [3], "output": output}},
                              "along": along, "recompute": True}, [VOLUME])
      for output, along in (("pooled", "depth"), ("taps", "width"))],
    ("encoder.plain_pyramid", {"widths": [3, 5], "enlarge": [2, 1], "thin": [1, 2]}, [VOLUME, VOLUME]),
    (TIMM, {"model": "test_resnet", "drop_rate": 0.3, "drop_path_rate": 0.2}, [(5, 37, 41)]),
    (TIMM, {"model": "test_efficientnet", "features": "taps", "taps": [1, -2], "normalise": "none"}, [(1, 37, 41)]),
    *[("encoder.hf_vision", {"config": config, "features": features, "normalise": "none"}, [sizes])
      for config, sizes in HF_VISION for features in ("pooled", "map", "taps", "tokens")],
    *[("encoder.hf_text", {"config": config, "pool": pool, "last": 2, "window": window}, [TOKENS])
      for config in HF_KINDS for pool, window in (("mean", None), ("tokens", 5), ("cls", 3))],
    ("encoder.hf_text", {"config": HF_KINDS[0], "pool": "mean_last", "last": 2, "normalise": "l2"}, [TOKENS]),
]
