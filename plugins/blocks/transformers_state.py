"""A network of transformers whose state has the names of its release's files, and takes such files.

The library renames its layers from version to version and translates files as it reads them. A run that is saved under
the names of one version could not be read by the next, so that ours are always those of files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fusionkit_plugins.blocks.transformers_models import Model, Values, made
from torch import Tensor, nn

from fusionkit.api import ComponentError

_HEADS = ("cls.", "lm_head.", "pooler.", "classifier.", "pre_classifier.", "qa_outputs.", "head.", "decoder.",
          "discriminator_predictions.", "generator_predictions.", "generator_lm_head.", "vocab_", "text_model.",
          "visual_projection.", "text_projection.", "logit_scale", "logit_bias", "visual.", "text.proj.")
"""What files have beside the network: heads of the task that it was trained with, and the other tower."""
_COUNTED = ("position_ids", "token_type_ids", "relative_position_index", "relative_coords_table", "inv_freq")
"""Tensors that follow from the settings, which older files hold."""
_UNUSED = ("embeddings.mask_token",)
"""Weights that only training of the release used, where the network has none of this name."""
_RENAMED = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
"""Names from before PyTorch, in files of the first BERTs."""


class TransformersNetwork(nn.Module):
    """A network of transformers without the heads of its release. Abstract: an encoder says what is made of it.

    Its state dict has the names of the release's files; `load_state_dict` takes these. Tensors of the encoder's own
    must not be part of the state.
    Raises: ComponentError as `made`.
    """

    def __init__(self, values: Values, offered: Mapping[str, Model]) -> None:
        super().__init__()
        self.network = made(values, offered)
        self.kind = str(values["model_type"])
        self.prefixes = offered[self.kind].prefixes
        self.names = file_names(self.network)
        self.kept: list[Tensor] = []
        self.register_state_dict_post_hook(_to_file_names)
        self.register_load_state_dict_pre_hook(_from_file_names)

    def adapt_weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file under the names of this module's state.

        Heads are dropped, and so are numbers that follow from the settings; whatever else the network does not have
        stays, and is refused when it is loaded, as are layers that the file lacks.
        """
        wanted = set(self.names.values())
        bare = {_renamed(name): value for name, value in tensors.items()}
        prefix = max(("", *self.prefixes), key=lambda start: len(wanted & {
            name.removeprefix(start) for name in bare if name.startswith(start)}))
        inside = {name.removeprefix(prefix): value for name, value in bare.items() if name.startswith(prefix)}
        beside = {name: value for name, value in bare.items() if not name.startswith(prefix)}
        return {name: value for name, value in (beside | inside).items() if name in wanted or not (
            name.startswith(_HEADS) or name.endswith(_COUNTED) or name in _UNUSED)}

    def keep(self, depths: Sequence[int], count: int) -> list[nn.Module]:
        """From now on keep what the blocks at these depths, of `count`, give in every pass, for `run`; all blocks.

        Not by the library's own way, which adds functions to its layers that no module can be copied with.
        """
        blocks = next((part for part in self.network.modules() if isinstance(part, nn.ModuleList)
                       and len(part) == count), None)
        if blocks is None:
            raise ComponentError(f"a {self.kind!r} of these settings has no {count} blocks",
                                 fix="take the settings of a release, from its config.json")
        for depth in depths:
            blocks[depth].register_forward_hook(_Keep(self.kept))
        return list(blocks)

    def run(self, *args: Any, **keywords: Any) -> tuple[Any, list[Tensor]]:
        """What the network gives, and the states of the depths that are kept, in their order."""
        self.kept.clear()
        try:
            found = self.network(*args, **keywords)
            return found, list(self.kept)
        finally:
            self.kept.clear()

    def freeze(self, *parts: str) -> None:
        """Freeze layers on which no result depends, by the names that the library gives them where it has them."""
        for name, weight in self.network.named_parameters():
            if name.startswith(parts) or name.endswith("mask_token"):
                weight.requires_grad_(False)


@dataclass(frozen=True)
class _Keep:
    """A hook behind a block: its states, of several results the first."""

    kept: list[Tensor]

    def __call__(self, block: nn.Module, args: Any, found: Any) -> None:
        self.kept.append(found[0] if isinstance(found, tuple) else found)


_known: dict[tuple[str, tuple[str, ...]], dict[str, str]] = {}


def file_names(network: Any) -> dict[str, str]:
    """The name in a file of every tensor of a network's state, by its name in the state.

    The library is asked by its public way to write a file: each tensor is a single number, its place in the state.
    """
    own = list(network.state_dict())
    key = type(network).__name__, tuple(own)
    if key not in _known:
        _known[key] = _asked(network, own)
    return _known[key]


def _asked(network: Any, own: list[str]) -> dict[str, str]:
    from safetensors import safe_open

    with tempfile.TemporaryDirectory() as folder, _silent(), torch.device("cpu"):
        network.save_pretrained(folder, state_dict={name: torch.tensor([place]) for place, name in enumerate(own)})
        with safe_open(Path(folder) / "model.safetensors", "pt") as file:
            found = {own[int(file.get_tensor(name))]: name for name in file.keys()}  # noqa: SIM118  # no mapping
    return {name: found[name] for name in own}


@contextmanager
def _silent() -> Iterator[None]:
    """Within, the library draws no progress bars."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _renamed(name: str) -> str:
    for old, new in _RENAMED.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _to_file_names(module: TransformersNetwork, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    moved = {prefix + name: state.pop(f"{prefix}network.{own}") for own, name in module.names.items()}
    state.update(moved)


def _from_file_names(module: TransformersNetwork, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    for own, name in module.names.items():
        if prefix + name in state:
            state[f"{prefix}network.{own}"] = state.pop(prefix + name)
