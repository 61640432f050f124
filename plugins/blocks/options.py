"""Options that several components have, each with one description. Holds no component."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat

BlockDropout = Annotated[NonNegativeFloat, Field(
    lt=1.0, description="Probability with which the results of attention and feed-forward layer are dropped.")]
"""The dropout of transformer blocks."""

LearnedPositions = Annotated[Literal["maps", "all", "none"], Field(
    description="What gets a learned code of its position: 'maps' only, 'all' maps and tokens, or 'none'; without one, "
                "the order of positions is not seen.")]
"""Which tokens of a transformer are told apart by their place."""

ScoresOfMean = Annotated[Literal["multiclass", "multilabel"], Field(
    description="What the scores mean, for space 'prob': 'multiclass' reads them through a softmax, 'multilabel' reads "
                "each through a sigmoid.")]
"""The task of predictors whose probabilities or scores are averaged."""

SeparateScores = Annotated[Literal["multiclass", "multilabel"], Field(
    description="What the scores mean: 'multiclass' reads them through a softmax, 'multilabel' reads each through a "
                "sigmoid, each label on its own.")]
"""The task of predictors that are combined label by label."""

SignedImage = Annotated[Literal["signed", "none"], Field(
    description="signed: the image is in 0..1 and is brought to -1..1, as the published weights want it; none: as it "
                "is.")]
"""How networks with weights of Keras want their image."""


def input_width(verb: str) -> Any:
    """The option `width` of a fusion that projects each input to it, and otherwise `verb` the inputs as they are."""
    return Field(None, description=f"Width to which each input is projected first; None {verb} the inputs as they are, "
                                   "which must then have equal widths.")
