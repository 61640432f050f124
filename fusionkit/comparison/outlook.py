"""What a comparison shows beyond its differences, in words: claims, the spread by folds and seeds, more repeats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fusionkit.comparison.claim import Claim
from fusionkit.comparison.scoring import HeadRanking, Paired
from fusionkit.comparison.spread import Spread
from fusionkit.evaluation.bootstrap import LEVEL
from fusionkit.evaluation.formatting import figures


def shown(paired: Paired) -> bool:
    """Whether the declared claim is shown, after correction."""
    return paired.claim_holm is not None and paired.claim_holm < 1 - LEVEL


def claim_verdicts(ranking: HeadRanking) -> list[str]:
    """For which candidates the declared claim is shown, as text."""
    claim = ranking.claim
    if claim is None:
        return []
    rows = [(row.name, row.paired) for row in ranking.rows if row.kind == "candidate" and row.paired]
    found = []
    for said, wanted in (("is shown", True), ("is not shown", False)):
        if names := [name for name, paired in rows if shown(paired) == wanted]:
            found.append(f"{claim.text.capitalize()} {said} (Holm, 0.05): {', '.join(names)}.")
    reference = next((row.metric.value for row in ranking.rows if row.paired is None), None)
    if reference is not None and claim.margin > abs(reference):
        found.append(f"The margin of {claim.margin:g} is larger than the reference's {ranking.label}, "
                     f"{figures(reference)}: is it in the metric's unit?")
    return found


def outlook_table(ranking: HeadRanking) -> tuple[list[str], list[list[str]]]:
    """What more repeats would narrow, and how far folds and seeds explain the spread: columns and rows, if any."""
    spreads = any(row.spread for row in ranking.rows)
    margin = ranking.claim.margin if ranking.claim else 0.0
    names = ["", "interval now", "never below", *([f"repeats for {margin:g}"] if margin else [])]
    if spreads:
        names += ["sd of folds", "sd of seeds", "share of folds", "share of folds in the difference"]
    rows = []
    for row in ranking.rows:
        ahead, apart = (row.paired.outlook, row.paired.spread) if row.paired else (None, None)
        if ahead is None and row.spread is None:
            continue
        cells = [row.name, *([figures(ahead.half_width), figures(ahead.floor)] if ahead else ["", ""])]
        if margin:
            cells.append("" if ahead is None else "impossible" if ahead.repeats is None else str(ahead.repeats))
        if spreads:
            cells += [*_spread(row.spread), _spread(apart)[2]]
        rows.append(cells)
    return names, rows


def _spread(found: Spread | None) -> tuple[str, str, str]:
    if found is None:
        return "", "", ""
    share = "" if math.isnan(found.share) else f"{found.share:.2f} ({found.low:.2f} to {found.high:.2f})"
    return figures(math.sqrt(found.var_fold)), figures(math.sqrt(found.var_seed)), share


def outlook_texts(ranking: HeadRanking) -> list[str]:
    """How to read `outlook_table`."""
    found = ["'Interval now' is the 95 % interval of the difference to each side. Repeats narrow it, but never below a "
             "value that depends on the share of cases tested: there only more cases help."]
    margin = ranking.claim.margin if ranking.claim else 0.0
    if margin and any(row.paired and row.paired.outlook and row.paired.outlook.repeats is None
                      for row in ranking.rows):
        found.append(f"Where {margin:g} is impossible, more cases are needed, not more repeats.")
    if any(row.spread for row in ranking.rows):
        found.append("'Share of folds' is the part of the variance between trainings that is due to which cases were "
                     "tested; the rest is due to seeds. Its 95 % interval is wide with few folds.")
    return found


def declared_texts(declared: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was to be shown and when that was declared, and each change, with what was known by then."""
    found = []
    for place, each in enumerate(declared):
        what = f"{Claim(each['kind'], each['margin']).text}, by {', '.join(sorted(set(each['metrics'].values())))}"
        known = f"after {each['trained']} trainings" if each["trained"] else "before anything was trained"
        found.append(f"{'Declared' if place == 0 else 'Changed to'}: {what}; {each['declared']}, {known}")
    return found


def tuning_table(tuned: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[list[str], list[list[str]]]:
    """What was chosen for every network in each fold and repeat: columns and rows, if anything was tuned."""
    rows = [[name, str(each["repeat"]), str(each["fold"] + 1), str(each["trials"]), str(len(each["failed"])),
             str(each["chosen"]), _score(each["score"]), _score(each["default_score"]), _values(each["values"])]
            for name, records in tuned.items() for each in records]
    return ["", "repeat", "fold", "trials", "failed", "chosen", "inner score", "as given", "values"], rows


def stability_table(tuned: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[list[str], list[list[str]]]:
    """How much every setting that was chosen differs between folds and repeats: columns and rows, if there is any.

    A setting that a fold left as given counts as a choice of its own.
    """
    rows = []
    for name, records in tuned.items():
        settings = dict.fromkeys(setting for each in records for setting in each["values"])
        for setting in settings if len(records) > 1 else ():
            found = [each["values"][setting] for each in records if setting in each["values"]]
            numbers = [value for value in found if isinstance(value, (int, float)) and not isinstance(value, bool)]
            told = [_setting(each["values"].get(setting, "as given")) for each in records]
            common = max(told, key=told.count)
            rows.append([name, setting, f"{common}, in {told.count(common)} of {len(told)}" if told.count(common) > 1
                         else f"another in each of {len(told)}",
                         f"{_setting(min(numbers))} to {_setting(max(numbers))}" if len(numbers) > 1 else "",
                         str(len(records) - len(found))])
    return ["", "setting", "chosen most often", "range", "as given"], rows


def tuning_texts(tuned: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """How to read `tuning_table`, and how stable the choice was."""
    found = ["Trial 0 has the settings as given; the score is what selects the best epoch, on inner validation cases, "
             "larger being better; of scikit-learn's rows, the log loss or the squared error with its sign changed. "
             "Every row had the same number of trials, and a failed trial counts."]
    rules = {each["rule"] for records in tuned.values() for each in records}
    if "one-se" in rules:
        found.append("Chosen is the trial with the fewest weights, or of equally many the first, within one standard "
                     "error of the best.")
    ended = {name: sum(len(each["pruned"]) for each in records) for name, records in tuned.items()}
    if any(ended.values()):
        told = ", ".join(f"{name} {count}" for name, count in ended.items() if count)
        found.append("Trials that were ended between inner folds, since they were below the median of those before, "
                     f"count as trials: {told}.")
    for name, records in tuned.items():
        different = len({_values(each["values"]) for each in records})
        if 1 < different == len(records):
            found.append(f"{name}: another choice in every fold. The figures are those of the procedure, not of one "
                         "network.")
        elif len(records) > 1:
            found.append(f"{name}: {different} different choices in {len(records)} folds." if different > 1 else
                         f"{name}: the same choice in all {len(records)} folds.")
    return found


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.partition('.')[2]}: {_setting(value)}" for name, value in values.items()) or "as given"


def _setting(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _score(value: float | None) -> str:
    return "" if value is None else figures(value)
