"""What the small files beside weights of transformers say: settings, statistics of images, how texts are pooled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit_plugins.blocks.transformers_models import Values, described

from fusionkit.api import ComponentError, WeightsFolder

_BY_HAND = "write 'mean' and 'std' at the node, or 'normalise: none'"
_IMAGES, _MODULES, _POOLING = "preprocessor_config.json", "modules.json", "1_Pooling/config.json"


def values_of(config: dict[str, Any] | None, folder: WeightsFolder | None) -> Values:
    """The settings of the network: those of the option, else of the folder's config.json."""
    if folder is None:
        assert config is not None  # as options classes demand
        return config
    return described(folder.json())


def image_statistics(folder: WeightsFolder | None) -> tuple[list[float], list[float]] | None:
    """Mean and deviation of each channel, for images in 0..1; None if nothing tells them.

    A recipe goes before the release's own file, which is about images in 0..255 that are scaled first.
    Raises: ComponentError for a file that says it in a way that is not known, GraphError for one that cannot be read.
    """
    if folder is None:
        return None
    about = folder.recipe.content.input if folder.recipe else None
    if about is not None and about.mean is not None and about.std is not None:
        return list(about.mean), list(about.std)
    if not folder.has(_IMAGES):
        return None
    found = folder.json(_IMAGES)
    factor = found.get("rescale_factor", 1 / 255) if found.get("do_rescale", True) else 1.0
    if not _is_number(factor) or factor <= 0:
        raise ComponentError(f"'rescale_factor' in {folder.file(_IMAGES)} is {factor!r}, and must be a number above 0",
                             fix=_BY_HAND)
    scale = 255.0 * factor
    if not found.get("do_normalize", True):
        return [0.0], [1 / scale]
    mean, deviation = found.get("image_mean"), found.get("image_std")
    if not (_are_numbers(mean) and _are_numbers(deviation)):
        raise ComponentError(f"{folder.file(_IMAGES)} has no lists of numbers 'image_mean' and 'image_std'",
                             fix=_BY_HAND)
    return [number / scale for number in mean], [number / scale for number in deviation]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


def text_pooling(folder: WeightsFolder | None) -> tuple[str, str]:
    """How a folder of sentence-transformers pools a text, and whether it divides by the length: 'mean', 'none' if none.

    Raises: ComponentError for a pooling that is not offered.
    """
    if folder is None or not folder.has(_POOLING):
        return "mean", "none"
    found = folder.json(_POOLING)
    modes = [name for name, on in found.items() if name.startswith("pooling_mode_") and on is True]
    known = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
    if len(modes) != 1 or modes[0] not in known:
        raise ComponentError(f"{folder.file(_POOLING)} asks for {' and '.join(modes) or 'no pooling'}",
                             "offered are the class token and the mean of the tokens", "write 'pool:' at the node")
    modules = folder.listed(_MODULES) if folder.has(_MODULES) else []
    kinds = [str(part.get("type", "")) for part in modules if isinstance(part, Mapping)]
    return known[modes[0]], "l2" if any(kind.endswith(".Normalize") for kind in kinds) else "none"
