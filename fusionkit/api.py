"""The names a plugin may import. Names that need torch are loaded when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusionkit.hooks import hookimpl

if TYPE_CHECKING:
    from fusionkit.contract import (
        ComponentError,
        Config,
        Encoder,
        Fusion,
        Head,
        HeadPrediction,
        Prediction,
        Recorded,
        Release,
        Runner,
        Uncertainty,
    )
    from fusionkit.layers import (
        Activation,
        EachToken,
        FeatureNorm,
        Normalisation,
        PresentBatchNorm,
        Projections,
        activation,
        at_least_single,
        fill_absent,
        joined_shape,
        normalisation,
        pointwise,
        resized,
        row_mask,
        softmax_present,
        spread,
        with_width,
        zero_empty,
    )
    from fusionkit.readout import ReadoutConfig, readout
    from fusionkit.shapes import Bundle, Image, Scalar, Shape, TensorShape, Tokens, Vector, Volume, shape_of

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

_ROOMS = {
    "fusionkit.contract": {"ComponentError", "Config", "Encoder", "Fusion", "Head", "HeadPrediction", "Prediction",
                           "Recorded", "Release", "Runner", "Uncertainty"},
    "fusionkit.layers": {"Activation", "EachToken", "FeatureNorm", "Normalisation", "PresentBatchNorm", "Projections",
                         "activation", "at_least_single", "fill_absent", "joined_shape", "normalisation", "pointwise",
                         "resized", "row_mask", "softmax_present", "spread", "with_width", "zero_empty"},
    "fusionkit.readout": {"ReadoutConfig", "readout"},
    "fusionkit.shapes": {"Bundle", "Image", "Scalar", "Shape", "TensorShape", "Tokens", "Vector", "Volume",
                         "shape_of"},
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(room), name)
    raise AttributeError(f"fusionkit.api has no {name!r}")
