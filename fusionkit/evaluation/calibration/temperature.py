"""Temperature scaling: one number that matches confidence to accuracy without changing any decision.

Source: Guo, Pleiss, Sun, Weinberger 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599, section 4.2.
Written for probabilities p, which may be the mean of several passes: q_k = p_k^(1/T) / sum_j p_j^(1/T), which for one
softmax is that of its logits divided by T. T has the smallest negative log-likelihood on held-out cases; that is convex
in 1/T, so the T where its derivative is 0 is found by bisection.
"""
# Axes: N cases, K classes.

from __future__ import annotations

import numpy as np

from fusionkit.arrays import Floats, Ints

FEWEST_CASES = 10
"""With fewer cases a fitted temperature would be unreliable; it stays 1."""
SMALLEST, LARGEST = 0.05, 20.0
# The smallest normal number of single precision, in which probabilities are given: their logarithms stay finite.
TINY = float(np.finfo(np.float32).tiny)
_HALVINGS = 80


def log_of(probabilities: Floats) -> Floats:
    """Logarithms; a probability of 0 counts as the smallest normal float32."""
    logarithms: Floats = np.log(np.maximum(probabilities, TINY))
    return logarithms


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """Probabilities (N, K) at a temperature; above 1 they move closer together. At 1 they are returned unchanged."""
    if temperature == 1:
        return probabilities
    scaled = log_of(probabilities) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
    changed: Floats = raised / raised.sum(axis=1, keepdims=True)
    return changed


def fit_temperature(probabilities: Floats, classes: Ints) -> tuple[float, str | None]:
    """The temperature for probabilities (N, K) of cases of these classes (N,), and notes on it."""
    if len(classes) < FEWEST_CASES:
        return 1.0, f"{len(classes)} cases are too few for a temperature: it stays 1"
    logarithms = log_of(probabilities)
    true = logarithms[np.arange(len(classes)), classes]
    if (true >= logarithms.max(axis=1)).all():
        return 1.0, "every case is correct, so no temperature is too low: it stays 1"
    low, high = np.log([1 / LARGEST, 1 / SMALLEST])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _slope(logarithms, true, float(np.exp(middle))) > 0 else (middle, high)
    found = float(np.exp(-(low + high) / 2))
    bound = next((bound for bound in (SMALLEST, LARGEST) if abs(found / bound - 1) < 1e-9), None)
    return (found, None) if bound is None else (bound, f"the temperature is at its bound, {bound:g}")


def _slope(logarithms: Floats, true: Floats, inverse: float) -> float:
    """The derivative of the mean negative log-likelihood by 1/T: expected minus true logarithm."""
    scaled = logarithms * inverse
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    expected = (weights * logarithms).sum(axis=1) / weights.sum(axis=1)
    return float((expected - true).mean())
