"""Classification: one of two or more classes, with cross-entropy on one logit per class.

Source: cross-entropy as in Bishop 2006, Pattern Recognition and Machine Learning, eq. 4.108; label smoothing:
Szegedy et al. 2016, Rethinking the Inception Architecture, arXiv 1512.00567, section 7; focal loss: Lin et al. 2017,
Focal Loss for Dense Object Detection, arXiv 1708.02002, eq. 4 and 5.
MMCAF-Net's paper has cross-entropy (`gamma: 0`), its release the focal loss on one logit with `gamma: 2` and no class
weights; one logit is the difference of two.
"""
# Axes: B batch, c features, K {classes}.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.class_weights import ClassesConfig, balanced_weights
from fusionkit_plugins.blocks.keras import conv_names, kernel_layout
from fusionkit_plugins.blocks.readout_head import ReadoutHead
from pydantic import Field
from torch import Tensor

from fusionkit.api import Head, Probes, ReadoutConfig, Recorded, Release, TensorShape, at_least_single


class ClassifyConfig(ClassesConfig, ReadoutConfig):
    """Options of `head.classify`."""

    gamma: float = Field(0.0, ge=0, description="Exponent of the focal loss: the larger, the smaller the weight of "
                                                "cases that are already classified well. 0 is cross-entropy.")


class Classify(ReadoutHead):
    """Maps features to K logits. Binary is K = 2: two classes, two logits, one softmax.

    Loss of a case with class y and logits z, weights w and smoothing s over K classes:
    -(1 - s) w_y log p_y - (s / K) sum_k w_k log p_k, p = softmax(z), and with an exponent gamma (1 - p_y)^gamma times
    that, which is differentiated through. Balanced weights are N / (K' n_k), N
    training cases, n_k of class k, K' non-empty classes, so that the mean weight over the training cases
    is 1; an empty class has weight 1. They are buffers, saved with the weights.

    Shapes: (B, c); gives logits (B, K). Missing rows are skipped.

    Raises: ComponentError if `layer` is none and c is not K.
    """

    weights: Tensor

    def __init__(self, config: ClassifyConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(config, inputs[0], config.classes)
        self.balanced = config.class_weights == "balanced"
        self.label_smoothing = config.label_smoothing
        self.gamma = config.gamma
        self.register_buffer("weights", config.weights())

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B, K) logits and (B,) class numbers, or (B, K) shares of classes, give (B,)."""
        logits = at_least_single(output)
        losses = F.cross_entropy(logits, target, self.weights.to(logits.dtype), reduction="none",
                                 label_smoothing=self.label_smoothing)
        return losses * (self.gamma * log_doubt(logits, target)).exp() if self.gamma else losses

    def decode(self, output: Tensor) -> Tensor:
        """Probabilities (B, K) that sum to 1."""
        return at_least_single(output).softmax(1)

    def balance(self, counts: Tensor) -> None:
        """Set the balanced weights from the number of training cases of each class, (K,)."""
        if self.balanced:
            self.weights.copy_(balanced_weights(counts))


def log_doubt(logits: Tensor, target: Tensor) -> Tensor:
    """log(1 - p_y), finite for any confidence: the log sigmoid of the log odds against class y.

    Shapes: (B, K) and (B,) class numbers, or (B, K) shares, whose log odds are mixed; gives (B,).
    """
    count = logits.shape[1]
    shares_BK = target if target.is_floating_point() else F.one_hot(target, count).to(logits.dtype)
    itself = torch.eye(count, dtype=torch.bool, device=logits.device)
    rivals_BK = logits.unsqueeze(1).masked_fill(itself, float("-inf")).logsumexp(2)
    return F.logsigmoid(-(shares_BK * (logits - rivals_BK)).sum(1))


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded case of the focal loss only has one logit, which is turned into two, and no layer."""
    said = re.search(r"Focal\w*\(gamma=([\d.]+)", str(meta.get("constructor", "")))
    return {"classes": ["no", "yes"], "layer": "none", "gamma": float(said[1])} if said else {}


def _replay(module: Classify, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    logit, target = (value.reshape(-1, 1) for value in inputs)
    logits, shares = torch.cat([torch.zeros_like(logit), logit], 1), torch.cat([1 - target, target], 1)
    return dict.fromkeys(case.meta["outputs"], module.loss(logits, shares).mean())


def _release_names(config: ClassifyConfig) -> dict[str, str]:
    """The last layer; its name in the authors' code is the prefix in the graph."""
    return {f"layers.{2 * len(config.hidden) + 1}": ""} if config.layer == "linear" and not config.hidden else {}


def _keras_names(config: ClassifyConfig) -> dict[str, str]:
    """The same for Keras, where the weight is called kernel."""
    return {name: part for ours in _release_names(config) for name, part in conv_names(ours, "").items()}


def _keras_rows(name: str, tensor: Tensor) -> Tensor:
    return two_rows(name, kernel_layout(tensor) if tensor.dim() > 1 else tensor)


def _keras_read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    """As many classes as the kernel has columns; a single column (sigmoid) is two classes."""
    return {"classes": [f"class{place}" for place in range(max(2, shapes["kernel"][-1]))]}


def two_rows(name: str, tensor: Tensor) -> Tensor:
    """The single row of a sigmoid layer as two rows of a softmax: zeros and itself, so that all results are equal."""
    is_single = name.startswith("layers.") and tensor.shape[0] == 1
    return torch.cat([torch.zeros_like(tensor), tensor]) if is_single else tensor


component = Head("classify", ClassifyConfig, Classify, rule="features: B _ -> B {classes}", task="multiclass",
                 names="classes", category="classification",
                 reference={"release": Release(
                     names=_release_names, layout=two_rows, own=("weights",), read=_read,
                     sizes=lambda inputs, meta: [[2 if sizes == [1] else sizes[0]] for sizes in inputs[:1]],
                     replay=_replay),
                     "keras": Release(names=_keras_names, layout=_keras_rows, own=("weights",), read=_keras_read)},
                 claims=("onnx",),
                 probes=Probes(sizes=[((2,),)]))
