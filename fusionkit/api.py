"""The names a plugin may import. Names that need torch are loaded when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusionkit.components.hooks import hookimpl

if TYPE_CHECKING:
    from fusionkit.components.component import Encoder, Fusion, Head, Uncertainty
    from fusionkit.components.config import ComponentError, Config
    from fusionkit.components.protocols import HeadPrediction, Prediction, Runner
    from fusionkit.components.release import Recorded, Release
    from fusionkit.layers.masking import fill_absent, row_mask, softmax_present, zero_empty
    from fusionkit.layers.norms import FeatureNorm, Normalisation, PresentBatchNorm, normalisation
    from fusionkit.layers.projection import (
        Activation,
        EachToken,
        Projections,
        activation,
        at_least_single,
        joined_shape,
        pointwise,
        resized,
        spread,
        with_width,
    )
    from fusionkit.layers.readout import ReadoutConfig, readout
    from fusionkit.shapes.layouts import Bundle, Image, Scalar, Shape, TensorShape, Tokens, Vector, Volume, shape_of

__all__ = [
    "Activation",
    "Bundle",
    "ComponentError",
    "Config",
    "EachToken",
    "Encoder",
    "FeatureNorm",
    "Fusion",
    "Head",
    "HeadPrediction",
    "Image",
    "Normalisation",
    "Prediction",
    "PresentBatchNorm",
    "Projections",
    "ReadoutConfig",
    "Recorded",
    "Release",
    "Runner",
    "Scalar",
    "Shape",
    "TensorShape",
    "Tokens",
    "Uncertainty",
    "Vector",
    "Volume",
    "activation",
    "at_least_single",
    "fill_absent",
    "hookimpl",
    "joined_shape",
    "normalisation",
    "pointwise",
    "readout",
    "resized",
    "row_mask",
    "shape_of",
    "softmax_present",
    "spread",
    "with_width",
    "zero_empty",
]

_HOMES = {
    "fusionkit.components.component": {
        "Encoder",
        "Fusion",
        "Head",
        "Uncertainty",
    },
    "fusionkit.components.config": {
        "ComponentError",
        "Config",
    },
    "fusionkit.components.protocols": {
        "HeadPrediction",
        "Prediction",
        "Runner",
    },
    "fusionkit.components.release": {
        "Recorded",
        "Release",
    },
    "fusionkit.layers.masking": {
        "fill_absent",
        "row_mask",
        "softmax_present",
        "zero_empty",
    },
    "fusionkit.layers.norms": {
        "FeatureNorm",
        "Normalisation",
        "PresentBatchNorm",
        "normalisation",
    },
    "fusionkit.layers.projection": {
        "Activation",
        "EachToken",
        "Projections",
        "activation",
        "at_least_single",
        "joined_shape",
        "pointwise",
        "resized",
        "spread",
        "with_width",
    },
    "fusionkit.layers.readout": {
        "ReadoutConfig",
        "readout",
    },
    "fusionkit.shapes.layouts": {
        "Bundle",
        "Image",
        "Scalar",
        "Shape",
        "TensorShape",
        "Tokens",
        "Vector",
        "Volume",
        "shape_of",
    },
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"fusionkit.api has no {name!r}")
