"""Which trial of a search is chosen, and which are not finished: the best, one standard error, the median rule.

Source: one standard error: Breiman et al. 1984, Classification and Regression Trees, section 3.4.3; the median rule:
Golovin et al. 2017, Google Vizier, doi:10.1145/3097983.3098043, as in Optuna's `MedianPruner`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, Literal

Rule = Literal["best", "one-se"]
Trial = Mapping[str, Any]
"""A finished trial: `score`, larger being better, None if it has none, `scores` of the inner folds, `weights`,
`trial`."""


def chosen_trial(trials: Sequence[Trial], rule: Rule) -> Trial | None:
    """The trial with the best score; with `one-se` the one with the fewest weights within a standard error of it.

    The standard error is that of the best trial's score over the inner folds. Of equal ones the one with fewer weights,
    then the earlier, so that settings as given, which are those of trial 0, are kept where nothing is shown to be
    better. None if no trial has a score.
    """
    done = [each for each in trials if each["score"] is not None]
    best = min(done, key=lambda each: (-each["score"], each["weights"], each["trial"]), default=None)
    if best is None or rule == "best":
        return best
    least = best["score"] - standard_error(best["scores"])
    return min((each for each in done if each["score"] >= least), key=lambda each: (each["weights"], each["trial"]))


def standard_error(scores: Sequence[float]) -> float:
    """The standard error of a mean over inner folds, which are taken as independent."""
    return stdev(scores) / math.sqrt(len(scores))


class MedianRule:
    """Ends a trial whose mean over the first inner folds is below the median of what earlier trials had by then.

    Optuna's `MedianPruner`, of which the first five trials are never ended. Earlier trials are told in their order, so
    that a search that goes on decides as one that was not stopped.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        import optuna

        # Optuna says of its own rule only that it was asked.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
        for each in trials:
            if each["score"] is not None:
                means = {place: fmean(each["scores"][: place + 1]) for place in range(len(each["scores"]))}
                self._study.add_trial(optuna.trial.create_trial(value=each["score"], intermediate_values=means))
        self._trial = self._study.ask()

    def ends(self, scores: Sequence[float]) -> bool:
        """Whether a trial with these scores of its first inner folds is not finished."""
        self._trial.report(fmean(scores), len(scores) - 1)
        return bool(self._trial.should_prune())
