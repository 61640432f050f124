"""The results of a comparison as rows to print, as CSV and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fusionkit.comparison.candidates import ComparisonPlan
from fusionkit.comparison.learning import Learned
from fusionkit.comparison.missing_rates import AtRate, missing_json
from fusionkit.comparison.outcomes import RepeatOutputs
from fusionkit.comparison.outlook import claim_verdicts, shown
from fusionkit.comparison.rank_order import RankOrder
from fusionkit.comparison.scoring import HeadRanking, Paired, ScoreRow
from fusionkit.comparison.train import Unit
from fusionkit.evaluation.differences import Difference
from fusionkit.evaluation.formatting import figures, short
from fusionkit.files import csv_text, write_json, write_text
from fusionkit.planning.plan import Cost

CSV, JSON, REPORT = "compare.csv", "compare.json", "report.html"
KIND_TEXTS = {"reference": "the graph as written", "candidate": "another fusion", "single": "single input",
         "baseline": "a simple fusion", "table": "scikit-learn on the tables",
         "pretrained": "a pretrained model on the tables", "constant": "without any input"}


@dataclass(frozen=True)
class ComparisonResult:
    """A finished comparison: the networks, the splits, the results, and the costs.

    `left_out` are the omitted networks with the reason; `seconds` is the training time of each network over all its
    units; `sharing` is how networks shared frozen nodes, from `shared_training.ways_taken`; `marks` says of networks
    that they were not trained to an end; with `seeds` above 1 the repeats of `units` are seeds on one division.
    `declared` is what was to be shown, as the manifest has it, the last of them in force; `tuned` is what was chosen
    for each network in every fold. `accounts` says what was expected and run, and what was not for want of time, and
    `accounts_json` as plain data. `absent` has each head's ranking without some inputs, by rate, and `absent_left_out`
    the networks that cannot be measured so. `orders` ranks all networks of a head over the folds, where there are
    several; `learned` is how each candidate was trained.
    """

    comparison: ComparisonPlan
    units: tuple[Unit, ...]
    rankings: tuple[HeadRanking, ...]
    seconds: Mapping[str, float]
    left_out: tuple[tuple[str, str], ...]
    sharing: Sequence[Mapping[str, Any]] = ()
    marks: Mapping[str, str] = field(default_factory=dict)
    seeds: int = 1
    declared: Sequence[Mapping[str, Any]] = ()
    tuned: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    accounts: Sequence[str] = ()
    accounts_json: Mapping[str, Any] | None = None
    absent: Mapping[str, Sequence[AtRate]] = field(default_factory=dict)
    absent_left_out: Mapping[str, str] = field(default_factory=dict)
    orders: Mapping[str, RankOrder] = field(default_factory=dict)
    learned: Mapping[str, Learned] = field(default_factory=dict)

    def cost(self, name: str) -> Cost | None:
        """The cost of a network; None for one without a plan."""
        return next((each.plan.total for each in self.comparison.candidates if each.name == name), None)

    @property
    def repeats(self) -> int:
        """The number of repeats."""
        return (max(unit.repeat for unit in self.units) + 1) // self.seeds

    @property
    def folds(self) -> int:
        """The number of folds of a repeat; 0 for a single split."""
        return sum(unit.repeat == 0 and unit.fold is not None for unit in self.units)


def seconds_of(outcomes: Mapping[str, tuple[RepeatOutputs, ...]]) -> dict[str, float]:
    """The training time of each network, over all repeats and folds."""
    return {name: sum(outcome.seconds for outcome in repeats) for name, repeats in outcomes.items()}


_TEXTS = ("", "95 % interval", "DeLong, 95 % interval", "note")
"""The columns of text; those of numbers are aligned to the right."""


def header(ranking: HeadRanking) -> list[str]:
    """The columns of the printed table."""
    names = ["", ranking.label, "95 % interval", "difference", "95 % interval", "p (Holm)", "worse by at most"]
    if ranking.claim:
        names.append(ranking.claim.text)
    if _has_delong(ranking):
        names += ["DeLong, 95 % interval", "p (Holm)"]
    return [*names, "weights", "multiply-adds", "training", "note"]


def numbers_of(names: Sequence[str]) -> list[int]:
    """The places of the columns that are numbers."""
    return [place for place, name in enumerate(names) if place and name not in _TEXTS]


def table(compared: ComparisonResult, ranking: HeadRanking) -> list[list[str]]:
    """The rows of the printed table, the best first."""
    return [_cells(compared, ranking, row) for row in ranking.rows]


def _has_delong(ranking: HeadRanking) -> bool:
    return any(row.paired is not None and row.paired.delong is not None for row in ranking.rows)


def _cells(compared: ComparisonResult, ranking: HeadRanking, row: ScoreRow) -> list[str]:
    cost, paired = compared.cost(row.name), row.paired
    value = "undefined" if row.metric.value is None else figures(row.metric.value)
    near = paired.equivalence if paired else None
    cells = [row.name, value, row.metric.interval, *_difference(row.difference),
             figures(near.smallest_margin) if near else ""]
    if ranking.claim:
        cells.append(_claimed(paired))
    if _has_delong(ranking):
        cells += _difference(paired.delong)[1:] if paired and paired.delong else ("", "")
    return [*cells, f"{cost.parameters:,}" if cost else "", amount(cost.multiply_adds) if cost else "",
            duration(compared.seconds[row.name]), _note(compared, row)]


def _note(compared: ComparisonResult, row: ScoreRow) -> str:
    notes = (compared.marks.get(row.name), row.note, row.metric.note, row.difference.note if row.difference else None)
    return "; ".join(note for note in notes if note)


def _claimed(paired: Paired | None) -> str:
    """Whether what was declared is shown, with the p corrected for all comparisons of the family."""
    if paired is None:
        return ""
    if paired.claim_holm is None:
        return "undefined"
    return f"{'shown' if shown(paired) else 'not shown'}, p {probability(paired.claim_holm)}"


def _difference(found: Difference | None) -> tuple[str, str, str]:
    if found is None:
        return "reference", "", ""
    value = "undefined" if found.value is None else signed(found.value)
    interval = "" if found.low is None or found.high is None else f"{signed(found.low)} to {signed(found.high)}"
    return value, interval, probability(found.holm)


def signed(value: float) -> str:
    """A difference with its sign, without a sign if it rounds to zero."""
    text = figures(value)
    return text.lstrip("-") if not text.strip("-0.") else text if value < 0 else f"+{text}"


def probability(p: float | None) -> str:
    """A p value with three decimals."""
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def amount(count: int) -> str:
    """A large count, abbreviated."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def duration(seconds: float) -> str:
    """A duration, abbreviated."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def write_tables(folder: Path, compared: ComparisonResult, about: Mapping[str, Any]) -> None:
    """Write `compare.csv` and `compare.json`."""
    write_text(folder / CSV, csv_text(_csv_rows(compared)))
    write_json(folder / JSON, as_json(compared, about))


_COLUMNS = ("head", "name", "kind", "metric", "value", "low", "high", "difference", "difference_low", "difference_high",
            "p", "p_holm", "smallest_margin", "claim_p", "claim_p_holm", "delong_p", "delong_p_holm", "cases",
            "difference_cases", "weights", "trained_weights", "multiply_adds", "seconds", "note")


def _csv_rows(compared: ComparisonResult) -> Iterator[Sequence[object]]:
    """One line for every network and head."""
    yield _COLUMNS
    for ranking in compared.rankings:
        for row in ranking.rows:
            found, cost = row.difference or Difference(None), compared.cost(row.name)
            numbers = (row.metric.value, row.metric.low, row.metric.high, found.value, found.low, found.high, found.p,
                       found.holm, *_margin_numbers(ranking, row))
            yield (ranking.head.name, row.name, row.kind, ranking.metric,
                   *("" if number is None else f"{number:.6g}" for number in numbers), row.cases,
                   "" if found.cases is None else found.cases,
                   *((cost.parameters, cost.trainable, cost.multiply_adds) if cost else ("", "", "")),
                   f"{compared.seconds[row.name]:.6g}", _note(compared, row))


def _margin_numbers(ranking: HeadRanking, row: ScoreRow) -> tuple[float | None, ...]:
    paired, claim = row.paired, ranking.claim
    if paired is None:
        return (None,) * 5
    near, delong = paired.equivalence, paired.delong or Difference(None)
    return (near.smallest_margin if near else None, near.p_of(claim.kind) if near and claim else None,
            paired.claim_holm, delong.p, delong.holm)


def as_json(compared: ComparisonResult, about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything as plain data."""
    units = [{**({"repeat": unit.repeat + 1} if compared.seeds == 1 else {"repeat": 1, "seed": unit.repeat + 1}),
              "fold": unit.fold, "train": len(unit.train), "test": len(unit.test),
              **({} if unit.left_out is None else {"left_out": unit.left_out})} for unit in compared.units]
    return {"fusionkit-compare": 1, **about, "node": compared.comparison.node, "units": units,
            "heads": {ranking.head.name: _head_json(compared, ranking) for ranking in compared.rankings},
            "left_out": dict(compared.left_out), "notes": list(compared.comparison.notes),
            "sharing": list(compared.sharing), "seeds": compared.seeds, "declared": list(compared.declared),
            "training": {name: each.to_json() for name, each in compared.learned.items()},
            **({"missing": missing_json(compared.absent, compared.absent_left_out)} if compared.absent else {}),
            **({"time": compared.accounts_json} if compared.accounts_json else {}),
            "tuning": {name: list(records) for name, records in compared.tuned.items()}}


def _head_json(compared: ComparisonResult, ranking: HeadRanking) -> dict[str, Any]:
    return {"metric": ranking.metric, "lower_is_better": ranking.lower_is_better, "cases": ranking.cases,
            "patients": ranking.patients, "test": ranking.test, "simultaneous_intervals": False,
            "claim": asdict(ranking.claim) if ranking.claim else None,
            **({"order": compared.orders[ranking.head.name].to_json()} if ranking.head.name in compared.orders else {}),
            "rows": [_row_json(compared, ranking, row) for row in ranking.rows]}


def _row_json(compared: ComparisonResult, ranking: HeadRanking, row: ScoreRow) -> dict[str, Any]:
    cost = compared.cost(row.name)
    return {"name": row.name, "kind": row.kind, **row.metric.to_json(), "cases": row.cases,
            "values": [short(value) for value in row.values],
            "difference": row.difference.to_json() if row.difference else None,
            "weights": cost.parameters if cost else None, "trained_weights": cost.trainable if cost else None,
            "multiply_adds": cost.multiply_adds if cost else None, "seconds": short(compared.seconds[row.name]),
            "note": _note(compared, row) or None, **_beside(ranking, row)}


def _beside(ranking: HeadRanking, row: ScoreRow) -> dict[str, Any]:
    """What follows from the differences of a row, and its spread, as plain data; what there is none of is left out."""
    paired, claim = row.paired, ranking.claim
    parts: dict[str, Any] = {"spread": row.spread}
    if paired is not None:
        parts |= {"equivalence": paired.equivalence, "delong": paired.delong, "difference_spread": paired.spread,
                  "outlook": paired.outlook}
    found = {name: part.to_json() for name, part in parts.items() if part is not None}
    if paired is not None and claim is not None and "equivalence" in found:
        found["equivalence"] |= {"claim": claim.kind, "p_holm": paired.claim_holm, "shown": shown(paired)}
    return found


def summary(compared: ComparisonResult, ranking: HeadRanking) -> str:
    """A one-line caption of the table."""
    whose = f"{ranking.cases} cases" + (f" of {ranking.patients} patients" if ranking.patients is not None else "")
    return f"{ranking.head.name}: {ranking.label} of {whose}, {divisions(compared)}"


def divisions(compared: ComparisonResult) -> str:
    """The splits as text."""
    folds, repeats = compared.folds, compared.repeats
    what = f"{folds} folds" if folds > 1 else "one fold" if folds else "one split"
    for count, name in ((repeats, "repeats"), (compared.seeds, "seeds")):
        what += f", {count} {name}" if count > 1 else ""
    return what


def _gain(ranking: HeadRanking, row: ScoreRow) -> float:
    """How much better a row is than the reference: above 0 if it is."""
    goodness, difference = ranking.measure.declared.goodness, row.difference.value if row.difference else None
    if ranking.measure.declared.better in ("higher", "lower"):
        return goodness(difference or 0.0)
    reference = next((other.metric.value for other in ranking.rows if other.difference is None), None)
    return 0.0 if row.metric.value is None or reference is None else goodness(row.metric.value) - goodness(reference)


def verdicts(ranking: HeadRanking) -> Sequence[str]:
    """Which candidates differ from the reference after correction, and for which the claim is shown, as text."""
    clear = [row for row in ranking.rows if row.kind == "candidate" and row.difference and row.difference.clear]
    better = [row.name for row in clear if _gain(ranking, row) > 0]
    worse = [row.name for row in clear if _gain(ranking, row) < 0]
    count = sum(row.kind == "candidate" for row in ranking.rows)
    if not count:
        return []
    found = [f"Significantly {word} than the reference (Holm, 0.05): {', '.join(names)}."
             for word, names in (("better", better), ("worse", worse)) if names]
    if not clear:
        found = [f"A difference from the reference is shown for none of {count} candidates (Holm, 0.05)." if count > 1
                 else "A difference from the reference is not shown for the candidate (0.05)."]
    return [*found, *claim_verdicts(ranking)]
