"""Networks of the transformers library: which kinds are offered, how one is made of a config.json, and nothing else.

Classes are chosen by our own table, never by a name in a file: `auto_map`, which names code of a repository, is not
read. Attention is that of PyTorch (`sdpa`), whatever a file asks for: the other forms give NaN in padded rows, or fetch
kernels from a hub.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from fusionkit.api import ComponentError

Values = Mapping[str, Any]
"""What a config.json says."""
_UNREAD = {"architectures", "attn_implementation", "auto_map", "custom_pipelines", "dtype", "experts_implementation",
           "gradient_checkpointing", "id2label", "label2id", "output_attentions", "output_hidden_states", "return_dict",
           "torch_dtype", "torchscript", "transformers_version", "use_cache"}
"""Keys that say how a release was used or stored; none of them changes what a layer computes."""
_MOST, _DEEPEST = 1 << 24, 4


@dataclass(frozen=True)
class Model:
    """One kind of network: its class in transformers, and what its files hold besides it.

    `prefixes` stand before every name of the network in files of larger models that contain it. `pooled`: its class
    has a pooling layer that most files lack, and that is left out.
    """

    network: str
    prefixes: tuple[str, ...]
    pooled: bool = False


VISION: Mapping[str, Model] = {
    "vit": Model("ViTModel", ("vit.",), pooled=True),
    "dinov2": Model("Dinov2Model", ("dinov2.",)),
    "dinov2_with_registers": Model("Dinov2WithRegistersModel", ("dinov2_with_registers.",)),
    "dinov3_vit": Model("DINOv3ViTModel", ("dinov3_vit.", "model.")),
    "dinov3_convnext": Model("DINOv3ConvNextModel", ("dinov3_convnext.", "model.")),
    "swin": Model("SwinModel", ("swin.",)),
    "swinv2": Model("Swinv2Model", ("swinv2.",)),
    "convnext": Model("ConvNextModel", ("convnext.",)),
    "convnextv2": Model("ConvNextV2Model", ("convnextv2.",)),
    "clip_vision_model": Model("CLIPVisionModel", ("vision_model.",)),
    "siglip_vision_model": Model("SiglipVisionModel", ("vision_model.",)),
    "resnet": Model("ResNetModel", ("resnet.",)),
}
TEXT: Mapping[str, Model] = {
    # open_clip has such a network as its tower of texts.
    "bert": Model("BertModel", ("bert.", "text.transformer."), pooled=True),
    "roberta": Model("RobertaModel", ("roberta.", "text.transformer."), pooled=True),
    "distilbert": Model("DistilBertModel", ("distilbert.",)),
    "electra": Model("ElectraModel", ("electra.",)),
    "modernbert": Model("ModernBertModel", ("model.",)),
}
_REFUSED = {
    "longformer": "it reads values of its mask to choose its way, which no plan and no export can follow",
    "deberta-v2": "it takes no mask by which padding is left out exactly",
}
TOWERS = {"clip": ("vision_config", "clip_vision_model"), "siglip": ("vision_config", "siglip_vision_model")}
"""Models of two towers: the key of a config.json that describes that of the images, and its kind."""


def described(values: Values) -> Values:
    """A config.json, of a model with two towers that of its images."""
    key, kind = TOWERS.get(str(values.get("model_type")), ("", ""))
    inner = values.get(key)
    return {**inner, "model_type": kind} if isinstance(inner, Mapping) else values


def model_of(values: Values, offered: Mapping[str, Model]) -> Model:
    """The kind of network that a config.json describes.

    Raises: ComponentError if it is not one of `offered`.
    """
    kind = values.get("model_type")
    if kind is not None and not isinstance(kind, str):
        raise ComponentError(f"'model_type' is {kind!r}, and must be the name of a kind of network",
                             fix="use the config.json of the release, unchanged")
    if kind in offered:
        return offered[kind]
    names = ", ".join(sorted(offered))
    if kind is None:
        raise ComponentError("'model_type' is missing, which says what network this is",
                             "a config.json of the transformers library has it; one of timm has 'architecture'",
                             f"write one of {names}; use encoder.timm for a model of timm")
    if kind in VISION or kind in TEXT:
        other = "hf_vision" if kind in VISION else "hf_text"
        raise ComponentError(f"a network of the kind {kind!r} is for encoder.{other}", fix=f"write encoder.{other}")
    if "auto_map" in values:
        raise ComponentError(
            f"the network of the kind {kind!r} is code of its own repository, which is never run", "its config.json "
            "names that code under 'auto_map'; whoever can change the repository could run anything here",
            f"choose a model that transformers itself has ({names}), or write a plugin with this network")
    near = get_close_matches(str(kind), offered, n=1)
    raise ComponentError(f"networks of the kind {kind!r} are not offered", _REFUSED.get(str(kind)),
                         f"did you mean {near[0]!r}?" if near else f"choose one of {names}")


def settings(values: Values) -> Any:
    """The settings of a network as transformers has them, for a config.json whose kind is offered.

    Raises: ComponentError if transformers does not take them.
    """
    from transformers import AutoConfig

    if values.get("quantization_config") is not None:
        raise ComponentError("its weights are quantised", "'quantization_config' asks for numbers of a few bits, which "
                             "only libraries of their own can read", "download the unquantised weights")
    kept = {key: copy.deepcopy(value) for key, value in values.items()
            if key not in _UNREAD | {"model_type"} and not key.startswith("_")}
    _check_sizes(kept, ())
    try:
        return AutoConfig.for_model(values["model_type"], attn_implementation="sdpa", **kept)
    except Exception as error:  # the library's own checks raise several kinds, some of them not public
        raise _refused(values, error) from error


def made(values: Values, offered: Mapping[str, Model]) -> Any:
    """A network of random weights, in float32, for a config.json.

    Raises: ComponentError if it is of a kind that is not offered, or transformers cannot build it.
    """
    import transformers

    model, found = model_of(values, offered), settings(values)
    build = getattr(transformers, model.network)
    if not (build._supports_sdpa if hasattr(build, "_supports_sdpa") else True):
        found._attn_implementation = "eager"
    try:
        return build(found, add_pooling_layer=False) if model.pooled else build(found)
    except ComponentError:
        raise
    except Exception as error:
        raise _refused(values, error) from error


def _refused(values: Values, error: Exception) -> ComponentError:
    import transformers

    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return ComponentError(f"transformers {transformers.__version__} cannot build a {values['model_type']!r} of these "
                          "settings", f"it says: {' '.join(lines[:2]) or type(error).__name__}",
                          "correct the settings; those of a release are in its config.json")


def _check_sizes(value: Any, path: tuple[str, ...]) -> None:
    """Refuse numbers and lists by which the network would never be built."""
    place = ".".join(path)
    if len(path) > _DEEPEST or (isinstance(value, list) and len(value) > 1000):
        raise ComponentError(f"{place!r} of the settings is too long or too deep",
                             fix="take the settings of a release, from its config.json")
    if isinstance(value, int) and abs(value) > _MOST:
        raise ComponentError(f"{place!r} of the settings is {value:,}", fix=f"write at most {_MOST:,}")
    for name, part in value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(
            value, list) else ():
        _check_sizes(part, (*path, str(name)))
