"""Text models of the transformers library: one vector of a text, or a vector for each of its tokens.

Source: Wolf et al. 2020, Transformers: State-of-the-Art Natural Language Processing,
doi:10.18653/v1/2020.emnlp-demos.6; each model has a paper of its own.
"""
# Axes: B batch, n tokens of a text, M windows of texts, m tokens of a window, w features of the model.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from fusionkit_plugins.blocks.transformers_folder import text_pooling, values_of
from fusionkit_plugins.blocks.transformers_models import TEXT, model_of, settings
from fusionkit_plugins.blocks.transformers_state import TransformersNetwork
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F

from fusionkit.api import (
    ComponentError,
    Config,
    Encoder,
    MaskedTokens,
    Probes,
    TensorShape,
    Vector,
    WeightsFolder,
    fill_padding,
    max_valid,
    mean_valid,
    weights_folder,
    windowed_tokens,
)

_SMALL = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 8,
          "vocab_size": 100, "max_position_embeddings": 64}
_EXAMPLE = {"model_type": "bert", **_SMALL}
_MODERN = {"model_type": "modernbert", "pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2,
           "sep_token_id": 2, "local_attention": 4, "global_attn_every_n_layers": 2, **_SMALL}


class HfTextConfig(Config):
    """Options of `encoder.hf_text`."""

    folder: WeightsFolder | None = weights_folder()
    config: dict[str, Any] | None = Field(
        None, description="In place of 'folder': what a config.json says, as a mapping with 'model_type'; weights are "
                          "then random, or those of the node's 'weights:'.")
    pool: Literal["cls", "mean", "mean_last", "tokens"] | None = Field(
        None, description="cls: the first token's last state; mean: the mean of all tokens' last states; mean_last: "
                          "the same of the mean of the last 'last' states; tokens: the last state of each token. By "
                          "default mean, or what the folder of a model of sentences says.")
    last: int = Field(4, ge=1, le=4, description="With 'pool: mean_last', how many of the last states are averaged.")
    window: PositiveInt | None = Field(
        None, description="How many tokens the network reads at a time, the reader's 'length': each window of a text "
                          "is read for itself. Without it the whole text is one.")
    join: Literal["mean", "max", "tokens"] = Field(
        "mean", description="How the vectors of a text's windows become one; tokens: each stays a token of its own.")
    chunk: PositiveInt = Field(32, description="With 'window', how many windows are encoded at a time.")
    normalise: Literal["none", "l2"] | None = Field(
        None, description="l2: divide the vector, or each token's, by its length. By default none, or what the folder "
                          "of a model of sentences says.")

    @model_validator(mode="after")
    def _used(self) -> Self:
        if (self.config is None) == (self.folder is None):
            raise ValueError("a network is that of a folder or of a config; write 'folder: PATH' or "
                             "'config: {model_type: ...}'")
        if self.join == "tokens" and self.window is None:
            raise ValueError("'join: tokens' gives a token of each window; write 'window', the reader's 'length'")
        if self.join == "tokens" and self.pool == "tokens":
            raise ValueError("'join: tokens' gives a vector of each window, 'pool: tokens' one of each token")
        return self


class HfText(TransformersNetwork):
    """A network of transformers without its head, over the ids of a text.

    With the last states h and the mask v of the tokens: `cls` is h[:, 0], `mean` is sum(v h) / sum(v). The pooling
    layer that BERT was trained with is not used, since most published files lack its weights.

    With `window` the text is cut into windows of so many tokens, as the reader `text` wrote them one after the other;
    each is encoded for itself, `chunk` at a time, and the vectors of a text's windows are averaged, or stay apart with
    `join: tokens`.

    The state dict has the names of the release's files. Shapes: ids (B, n) and `valid` (B, n); gives (B, w), or
    (B, n, w) with the same mask; with `join: tokens` (B, W, w) for W windows, real where one of their tokens is. A text
    without a token gives zeros; missing rows are skipped.

    Raises: ComponentError if transformers cannot build the network, it has fewer words than the tokenizer, or fewer
    positions than the text has tokens.
    """

    def __init__(self, config: HfTextConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(values_of(config.config, config.folder), TEXT)
        about = self.network.config
        self.most = _check_text(self.kind, about, config, inputs[0])
        self.padding = int(getattr(about, "pad_token_id", None) or 0)
        self.near = int(getattr(about, "local_attention", 0)) // 2
        pool, normalise = text_pooling(config.folder) if config.pool is None else (config.pool, "none")
        self.pool, self.last, self.join = pool, config.last, config.join
        self.unit = (config.normalise or normalise) == "l2"
        self.window, self.chunk = config.window, config.chunk
        layers = int(about.num_hidden_layers)
        if config.pool == "mean_last" and config.last > layers:
            raise ComponentError(f"'last' is {config.last}, and the network has {layers} layers",
                                 fix=f"write at most {layers}")
        # Of the last layer the state behind the final norm counts, which the network itself gives.
        self.keep(range(layers - config.last, layers - 1) if config.pool == "mean_last" else (), layers)
        self.freeze()
        if config.folder is not None:
            config.folder.fill(self)

    def forward(self, text: Tensor, valid: Tensor | None = None) -> Tensor:
        """The vector of each text, or the states of its tokens."""
        if self.window is None and text.shape[1] > self.most:
            raise _too_long(text.shape[1], self.most)  # of an input without a limit, 'text: null'
        if self.window is None or text.shape[1] <= self.window:
            found = self._encoded(text, valid)
            if self.join == "tokens":
                found = found.unsqueeze(1)
        else:
            found = self._in_windows(text, valid, self.window)
        return F.normalize(found, dim=-1) if self.unit else found

    def _in_windows(self, text: Tensor, valid: Tensor | None, size: int) -> Tensor:
        cases, count = text.shape
        more = -count % size
        real = torch.ones_like(text, dtype=torch.bool) if valid is None else valid
        ids_Mm = F.pad(text, (0, more)).unflatten(1, (-1, size)).flatten(0, 1)
        real_Mm = F.pad(real, (0, more)).unflatten(1, (-1, size)).flatten(0, 1)
        there_M = real_Mm.any(1)
        if torch.compiler.is_compiling() or text.is_meta:
            found_M = self._encoded(ids_Mm, real_Mm)  # a traced network has to know its sizes
        else:
            ids, mask = ids_Mm[there_M], real_Mm[there_M]
            pieces = max(-(-len(ids) // self.chunk), 1)
            some = torch.cat([self._encoded(*piece) for piece in zip(
                ids.tensor_split(pieces), mask.tensor_split(pieces), strict=True)])
            where = there_M.reshape(-1, *[1] * (some.dim() - 1))
            found_M = some.new_zeros(len(ids_Mm), *some.shape[1:]).masked_scatter(where, some)
        if self.pool == "tokens":
            return found_M.unflatten(0, (cases, -1)).flatten(1, 2)[:, :count]
        vectors, there = found_M.unflatten(0, (cases, -1)), there_M.unflatten(0, (cases, -1))
        if self.join == "tokens":
            return fill_padding(vectors, there)
        return mean_valid(vectors, there) if self.join == "mean" else max_valid(vectors, there)

    def _encoded(self, text: Tensor, valid: Tensor | None) -> Tensor:
        ids = text if valid is None else text.where(valid, self.padding)
        states = self._states(ids, valid)
        if self.pool == "tokens":
            return fill_padding(states, valid)
        if self.pool == "cls":
            first = states[:, 0]
            return first if valid is None else first.where(valid.any(1, keepdim=True), 0.0)
        return mean_valid(states, valid)

    def _states(self, ids: Tensor, valid: Tensor | None) -> Tensor:
        found, kept = self.run(ids, attention_mask=self._mask(ids, valid))
        last: Tensor = found.last_hidden_state
        return torch.stack([*kept, last]).mean(0) if kept else last

    def _mask(self, ids: Tensor, valid: Tensor | None) -> Tensor | dict[str, Tensor]:
        """Which token may look at which, (B, 1, n, n); for ModernBERT one such mask for each kind of its layers.

        Every position may look at itself: padding, at which no token looks, then has finite states.
        """
        count = ids.shape[1]
        real = torch.ones_like(ids, dtype=torch.bool) if valid is None else valid
        places = torch.arange(count, device=ids.device)
        apart = (places[:, None] - places[None, :]).abs()
        mask = real[:, None, None, :] | (apart == 0)
        if self.kind != "modernbert":
            return mask
        return {"full_attention": mask, "sliding_attention": mask & (apart <= self.near)}


def _check_text(kind: str, about: Any, config: HfTextConfig, shape: TensorShape) -> int:
    """How many tokens the network can read at once."""
    if shape.width > about.vocab_size:
        raise ComponentError(f"the tokenizer has {shape.width:,} ids, and the network knows {about.vocab_size:,}",
                             "they are of different models: an id would mean another word, or none",
                             "give the tokenizer.json that lies beside the network's weights")
    # RoBERTa counts positions from the one after its padding.
    most = int(about.max_position_embeddings) - (int(about.pad_token_id) + 1 if kind == "roberta" else 0)
    if config.window is not None and config.window > most:
        raise ComponentError(f"'window' is {config.window}, and the network has {most} positions",
                             fix=f"write 'length: {most}' in the data file, and 'window: {most}' here")
    if config.window is None and shape.positions > most:
        raise _too_long(shape.positions, most)
    return most


def _too_long(count: int, most: int) -> ComponentError:
    return ComponentError(f"a text has up to {count:,} tokens, and the network has {most:,} positions",
                          fix=f"write 'length: {most}' and 'windows: 1' in the data file, or 'window:' here with the "
                          "length of one window")


def features(config: HfTextConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    """A vector, a token for each id, or a token for each window."""
    values = values_of(config.config, config.folder)
    model_of(values, TEXT)
    width = int(settings(values).hidden_size)
    shape = inputs[0]
    if config.join == "tokens" and config.window is not None:
        return windowed_tokens(shape, config.window, width)
    if config.pool != "tokens":
        return Vector((width,))
    return MaskedTokens((shape.positions, width), shape.of if isinstance(shape, MaskedTokens) else ("text",))


component = Encoder("hf_text", HfTextConfig, HfText, rule="text: B text[n] _", output=features, category="text",
                    paper="doi:10.18653/v1/2020.emnlp-demos.6", needs=("transformers>=5.18",),
                    exceptions={"waits: boolean index": "windows without text are not encoded; how many is a value"},
                    probes=Probes(values={"config": [_EXAMPLE]}, together=[
                        {"config": _EXAMPLE}, {"config": _MODERN},
                        {"config": _EXAMPLE, "pool": "mean_last", "last": 2},
                        {"config": _EXAMPLE, "window": 4, "join": "tokens"}]))
