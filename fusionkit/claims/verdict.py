"""Whether a published figure was reproduced: the difference beside a tolerance, and both intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

from fusionkit.claims.file import ClaimCell, ClaimedData, ClaimRow, PublishedClaim
from fusionkit.errors import Diagnostic, GraphError, did_you_mean
from fusionkit.evaluation.proportions import Z, wilson
from fusionkit.printable import figures
from fusionkit.syntax.tree import find

REPRODUCED, NOT_REPRODUCED, MEASURED = "reproduced", "not reproduced", "no published value"
NO_DATA = "data not here"
_ROUNDING = 1e-9


@dataclass(frozen=True)
class OwnFigure:
    """A figure of our own with its 95 % interval, None where it is undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> str:
        """The bounds as text, or an empty string."""
        return "" if self.low is None or self.high is None else f"{figures(self.low)} to {figures(self.high)}"


@dataclass(frozen=True)
class PublishedFigure(OwnFigure):
    """A published figure; `by_formula` says that its interval was not published."""

    by_formula: bool = False

    @property
    def interval(self) -> str:
        """The bounds as text, with a star if they are by a formula."""
        return super().interval + " *" * self.by_formula


@dataclass(frozen=True)
class ClaimFinding:
    """One figure: as it was published, as it was measured, and what follows."""

    row: str
    metric: str
    published: PublishedFigure
    here: OwnFigure
    tolerance: float
    verdict: str
    remark: str = ""

    @property
    def difference(self) -> float | None:
        """Measured minus published; None if one of them is not known."""
        known = self.published.value, self.here.value
        return None if known[0] is None or known[1] is None else known[1] - known[0]

    def to_json(self) -> dict[str, Any]:
        """The finding as plain data."""
        told = {"published": asdict(self.published), "here": asdict(self.here)}
        return {"row": self.row, "metric": self.metric, **told, "difference": self.difference,
                "tolerance": self.tolerance, "verdict": self.verdict, "remark": self.remark}


def judge(claim: PublishedClaim, name: str, measured: dict[str, OwnFigure]) -> list[ClaimFinding]:
    """The findings of a row; `measured` has our figures by the name of the metric.

    Raises: GraphError with `claim-metric` for a figure that was not measured.
    """
    row = claim.content.rows[name]
    for metric in row.results:
        if metric not in measured:
            raise GraphError(Diagnostic("claim-metric", f"the row {name!r} has a figure of {metric!r}, which was not "
                                        "measured", find(claim.tree, ("rows", name, "results", metric)),
                                        fix=did_you_mean(metric, measured, "write METRIC, or HEAD.METRIC where there "
                                                                           "are several heads")))
    return [_judged(claim, (name, metric), row, measured[metric]) for metric in row.results]


def _judged(claim: PublishedClaim, key: tuple[str, str], row: ClaimRow, here: OwnFigure) -> ClaimFinding:
    name, metric = key
    cell = row.results[metric]
    tolerance = claim.content.tolerance if cell.tolerance is None else cell.tolerance
    published = published_figure(metric, cell, claim.content.data)
    verdict, remark = MEASURED, ""
    if here.value is None:
        verdict, remark = (MEASURED if cell.value is None else NOT_REPRODUCED), "undefined here"
    elif cell.value is not None:
        close = abs(here.value - cell.value) <= tolerance + _ROUNDING
        verdict = REPRODUCED if close else NOT_REPRODUCED
        remark = _remark(close, published, here)
    return ClaimFinding(name, metric, published, here, tolerance, verdict, remark)


def _remark(close: bool, published: PublishedFigure, here: OwnFigure) -> str:
    """What the intervals say of a difference beyond the tolerance, or of one within it."""
    known = [_holds(here, published.value), _holds(published, here.value)]
    if None in known and True not in known:
        return ""
    if close:
        return "" if True in known else "within the tolerance, outside both intervals"
    return "may be chance: inside an interval" if True in known else ""


def _holds(figure: OwnFigure, value: float | None) -> bool | None:
    """Whether an interval holds a value; None where there is none of them."""
    if figure.low is None or figure.high is None or value is None:
        return None
    return figure.low <= value <= figure.high


def published_figure(metric: str, cell: ClaimCell, data: ClaimedData) -> PublishedFigure:
    """A published figure with its 95 % interval.

    Where none was published it is by a formula: Wilson's for a share of a known number of cases, for an AUROC that of
    Hanley and McNeil (1982, The meaning and use of the area under a ROC curve, doi:10.1148/radiology.143.1.7063747).
    """
    if cell.interval is not None:
        return PublishedFigure(cell.value, cell.interval[0], cell.interval[1])
    positives, cases = (cell.positives, cell.cases) if cell.cases else (data.positives, data.cases)
    bounds = None
    if cell.value is not None and 0 <= cell.value <= 1 and cases:
        name = metric.rpartition(".")[2]
        negatives = cases - positives if positives else None
        if name == "auroc" and positives and negatives:
            bounds = _of_auroc(cell.value, positives, negatives)
        elif total := {"accuracy": cases, "sensitivity": positives, "specificity": negatives}.get(name):
            bounds = wilson(cell.value * total, total)
    return PublishedFigure(cell.value) if bounds is None else PublishedFigure(cell.value, *bounds, by_formula=True)


def _of_auroc(area: float, m: int, n: int) -> tuple[float, float]:
    """The interval of an AUROC of m positive and n negative cases."""
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (m - 1) * (first - area**2) + (n - 1) * (second - area**2)) / (m * n)
    half = Z * sqrt(max(variance, 0.0))
    return max(0.0, area - half), min(1.0, area + half)


def overall(findings: list[ClaimFinding]) -> str:
    """One verdict for several: reproduced if every published figure was."""
    known = [each.verdict for each in findings if each.verdict != MEASURED]
    if not known:
        return MEASURED
    return REPRODUCED if all(each == REPRODUCED for each in known) else NOT_REPRODUCED
