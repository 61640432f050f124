"""A timm network that a folder describes: `config.json` in timm's form, of which only named arguments are taken.

Source: the form that timm writes to model hubs (Wightman 2019, doi:10.5281/zenodo.4414861).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fusionkit.api import ComponentError, WeightsFolder

_NUMBERS = ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "init_values", "reg_tokens",
            "num_classes", "in_chans", "window_size", "global_attn_indexes")
_FLAGS = ("no_embed_class", "dynamic_img_size", "class_token", "qkv_bias", "use_rel_pos")
_CLASSES = {"mlp_layer": "swiglu_packed", "act_layer": "silu"}
ARGUMENTS = (*_NUMBERS, *_FLAGS, "global_pool", *_CLASSES)
"""The arguments of a network that config.json, or a recipe, may give."""
_ABOUT = ("input_size", "fixed_input_size", "interpolation", "crop_pct", "mean", "std", "pool_size", "first_conv",
          "classifier", "license")


@dataclass(frozen=True)
class Described:
    """A network: its architecture in timm, arguments in place of its own, and what is told of its weights."""

    architecture: str
    arguments: Mapping[str, Any]
    about: Mapping[str, Any]


def described(folder: WeightsFolder) -> Described:
    """The network that the folder describes; options of its recipe go before those of config.json.

    Raises: ComponentError for an argument that is not taken, GraphError for a file that cannot be read.
    """
    config = folder.json()
    about = config.get("pretrained_cfg")
    about = dict(about) if isinstance(about, Mapping) else dict(config)
    recipe = folder.recipe
    own = dict(recipe.content.network.options) if recipe and recipe.content.network else {}
    given = config.get("model_args") or {}
    if not isinstance(given, Mapping):
        raise ComponentError(f"'model_args' of {folder.file('config.json')} is not an object",
                             fix="write {name: value} there, or remove it")
    architecture = own.get("architecture", config.get("architecture"))
    if not isinstance(architecture, str):
        raise ComponentError(f"{folder.file('config.json')} names no 'architecture'",
                             why="it is not the description of a timm network",
                             fix="take the config.json that timm wrote; for one of transformers use encoder.hf_vision")
    arguments = {name: _checked(name, value, str(folder.file("config.json"))) for name, value in given.items()}
    arguments |= {name: _checked(name, value, "the recipe") for name, value in own.items() if name in ARGUMENTS}
    kept = {name: about[name] for name in _ABOUT if about.get(name) is not None}
    if recipe:
        kept |= {name: list(value) for name in ("mean", "std")
                 if (value := getattr(recipe.content.input, name)) is not None}
    return Described(architecture, arguments, kept)


def _checked(name: str, value: Any, where: str) -> Any:
    if name not in ARGUMENTS:
        raise ComponentError(f"the argument {name!r} in {where} is not taken", why="a network is made only from these: "
                             + ", ".join(ARGUMENTS), fix="remove it if the network does not need it, or write a "
                             "component of your own around timm.create_model")
    if name in _CLASSES:
        if value != _CLASSES[name]:
            raise ComponentError(f"{name!r} in {where} cannot be {value!r}",
                                 fix=f"write {_CLASSES[name]!r}, or leave it out")
        return value
    several = value if isinstance(value, list | tuple) else [value]
    kinds: tuple[type, ...] = (bool,) if name in _FLAGS else (str,) if name == "global_pool" else (int, float)
    numbers = name in _NUMBERS
    if value is not None and not all(isinstance(one, kinds) and not (numbers and isinstance(one, bool))
                                     for one in several):
        raise ComponentError(f"{name!r} in {where} cannot be {value!r}", fix="write a number" if numbers else
                             "write true or false" if name in _FLAGS else "write the name of a pooling")
    return tuple(value) if isinstance(value, list) else value


def classes(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the two words that stand for classes replaced by these."""
    from timm.layers import SwiGLUPacked
    from torch import nn

    made: dict[str, Any] = {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
    return {name: made.get(name, value) for name, value in arguments.items()}


_UNUSED = ("head.", "head_dist.", "fc.", "classifier.", "mask_token", "op_threshs")
"""What a file may have besides the network: a classifier, and what only training or another library reads."""


_TRUNK, _BESIDE_TRUNK = "visual.trunk.", ("visual.head.", "text.", "logit_scale", "logit_bias")


def of_trunk(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The network of images in a file of open_clip under timm's names, without its projection and the tower of texts.

    Any other file is given back as it is. Source: Ilharco et al. 2021, OpenCLIP, doi:10.5281/zenodo.5143773.
    """
    if not any(name.startswith(_TRUNK) for name in tensors):
        return tensors
    return {name.removeprefix(_TRUNK): value for name, value in tensors.items() if not name.startswith(_BESIDE_TRUNK)}


def refuse_unknown(tensors: Mapping[str, Tensor], whole: frozenset[str], folder: WeightsFolder | None
                   ) -> Mapping[str, Tensor]:
    """The tensors of a file, if the whole network has each of them, or it is part of a classifier.

    Raises: ComponentError: config.json then describes a smaller network than the file is of.
    """
    ours = any(name.startswith("network.") for name in tensors)
    extra = sorted(name for name in tensors if name not in whole and not name.startswith(_UNUSED)) if not ours else []
    if extra:
        more = f" and {len(extra) - 4} more" if len(extra) > 4 else ""
        raise ComponentError(f"the weights of {str(folder)!r} have {len(extra)} tensors that the network lacks",
                             why=", ".join(extra[:4]) + more, fix="correct 'model_args' in config.json, or write the "
                             "arguments in recipe.yaml, so that the network is the one that was trained")
    return tensors


def with_first_layers(about: Mapping[str, Any], listed: Any) -> dict[str, Any]:
    """What is told of weights, with the first layer by timm's list where they do not name it; it fits the channels."""
    first = {"first_conv": listed.first_conv} if listed is not None and listed.first_conv else {}
    return {**first, **about}
