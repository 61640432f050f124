"""Options shared by several components, each described once, and checks of their values. Contains no component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat

from fusionkit.api import Search

BlockDropout = Annotated[NonNegativeFloat, Search((0.0, 0.1, 0.3)), Field(
    lt=1.0, description="Probability with which the results of attention and feed-forward layer are dropped.")]
"""The dropout of transformer blocks."""

LearnedPositions = Annotated[Literal["maps", "all", "none"], Field(
    description="What gets a learned position code: 'maps' only, 'all' maps and tokens, or 'none'; without one, "
                "the order of positions is ignored.")]
"""Which tokens of a transformer are distinguished by their position."""


def _task(when: str = "", how: str = "") -> Any:
    return Field(description=f"What the scores mean{when}: 'multiclass' applies a softmax, 'multilabel' "
                             f"a sigmoid to each{how}.")


ScoresOfMean = Annotated[Literal["multiclass", "multilabel"], _task(when=", for space 'prob'")]
"""The task of predictors whose probabilities or scores are averaged."""

SeparateScores = Annotated[Literal["multiclass", "multilabel"], _task(how=", each label separately")]
"""The task of predictors that are combined label by label."""

SignedImage = Annotated[Literal["signed", "none"], Field(
    description="signed: the image is in 0..1 and is scaled to -1..1, as the published weights expect; none: as it "
                "is.")]
"""How networks with weights of Keras expect their image."""


StreamNorm = Annotated[Literal["batch", "layer"], Field(
    description="Normalisation of each input at the start; use 'layer' for small batches.")]
"""The normalisation of inputs that attend to each other."""


def input_width(verb: str, when: str = "first") -> Any:
    """The option `width` of a fusion that projects each input to it, or else `verb` the inputs unchanged."""
    return Field(None, description=f"Width to which each input is projected {when}; None {verb} the inputs "
                                   "unchanged, which must then have equal widths.")


def stream_width(of: str) -> Any:
    """The option `width` `of` the result of a fusion, to which it projects inputs of another width."""
    return Field(None, description=f"Width of {of}; an input of another width is projected to it. None uses the "
                                   "inputs unchanged, which must then have equal widths.")


def presence_flag(mark: str, more: str) -> Any:
    """The option `availability` of a concatenation, which appends a `mark` for each input."""
    return Field(False, description=f"Whether to append one {mark} for each input that is 1 where it is present and 0 "
                                    f"where it is missing{more}.")


def rescaling(parts: str, reader: str) -> Any:
    """The option `rescale` of a concatenation, which preserves the magnitude of what the `reader` sums."""
    return Field(False, description=f"Whether to multiply the present {parts} by M / (number present), which keeps the "
                                    f"expected magnitude of what {reader} sums.")


def check_names(option: str, names: Sequence[str], one: str, **weights: object) -> None:
    """Refuse duplicate names of classes, labels or values, and a list of `weights` of another length.

    `weights` is an option by its name, if there is one; a value that is not a list is not checked.
    Raises: ValueError.
    """
    if len(set(names)) < len(names):
        raise ValueError(f"'{option}' names one {one} twice")
    for weighted, given in weights.items():
        if isinstance(given, list) and len(given) != len(names):
            raise ValueError(f"'{weighted}' has {len(given)} numbers for {len(names)} {option}")
