"""Simulated targets and predictions with known properties, for the tests of this folder."""

import numpy as np


def classified(seed, cases, classes, *, rounded=False):
    """Class indices and probabilities that know something; `rounded` gives ties and values on the edges of bins."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, cases)
    logits = generator.normal(size=(cases, classes))
    logits[np.arange(cases), targets] += 1.2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if rounded:
        probabilities = np.round(probabilities * 15) / 15
        probabilities[:, -1] = 1 - probabilities[:, :-1].sum(axis=1)
        probabilities = np.clip(probabilities, 0, 1)
    return targets, probabilities


def labelled(seed, cases, labels, *, unknown=0.0):
    """Labels of 0 and 1, a share of them unknown (NaN), and their probabilities."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((cases, labels)) < 0.35).astype(float)
    probabilities = 1 / (1 + np.exp(-(generator.normal(size=targets.shape) + 2 * targets - 1)))
    targets[generator.random(targets.shape) < unknown] = np.nan
    return targets, probabilities


def valued(seed, cases, outputs=1):
    """Values far from zero and imperfect predictions of them."""
    generator = np.random.default_rng(seed)
    targets = 60 + 10 * generator.normal(size=(cases, outputs))
    return targets, 0.7 * targets + 15 + 4 * generator.normal(size=targets.shape)


def names(count):
    return [f"class {index}" for index in range(count)]
