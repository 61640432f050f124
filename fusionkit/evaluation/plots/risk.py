"""The error rate by the share of cases that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about, with_interval
from fusionkit.evaluation.plots.style import PALE, blank, look, titled
from fusionkit.evaluation.report import HeadReport
from fusionkit.evaluation.uncertainty_metrics import DRAWN, Risk

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _draw(report: HeadReport) -> Figure | None:
    risks = report.trust.risks
    if not risks:
        return None
    labels = [f"ranked by {DRAWN[risk.by]}: area under curve "
              f"{with_interval(report.trust.figures['errors', risk.by, 'aurc'])}" for risk in risks]
    return risk_figure(risks, labels, f"Risk-coverage curve\n{about(report)}")


def _numbers(report: HeadReport) -> Numbers:
    return Numbers(("ranked_by", "coverage", "error_rate"), [
        (DRAWN[risk.by], *point) for risk in report.trust.risks
        for point in zip(risk.coverage, risk.risk, strict=True)])


def risk_figure(risks: Sequence[Risk], labels: Sequence[str], title: str) -> Figure:
    """The error rate when only the most confident cases are kept, with that of all cases and the lowest possible.

    The lowest possible is that of a measure that ranks every correct case above every error.
    """
    figure = blank(5.6, 4.6)
    axes = figure.add_subplot()
    overall = float(risks[0].risk[-1])
    share = np.linspace(0.002, 1, 400)
    best = np.maximum(0, share - (1 - overall)) / share
    axes.plot(share, best, color=PALE, linewidth=1.2, linestyle=(0, (1, 2)), zorder=1,
              label="lowest possible: every error ranked last")
    axes.axhline(overall, color=PALE, linewidth=1, linestyle=(0, (4, 4)), zorder=1,
                 label=f"all cases kept: error rate {overall:.3f}")
    for index, (risk, label) in enumerate(zip(risks, labels, strict=True)):
        axes.plot(risk.coverage, risk.risk, label=label, drawstyle="steps-post", zorder=3, **look(index))
    top = max(overall, *(float(risk.risk.max()) for risk in risks))
    axes.set(xlim=(0, 1), ylim=(0, 1.05 * top or 1), xlabel="coverage: fraction of cases kept, most confident first",
             ylabel="error rate among the cases kept")
    axes.set_title(titled(title), loc="left")
    figure.legend(loc="outside lower left", handlelength=2.6)
    return figure


FIGURE = HeadFigure("risk", _draw, _numbers)
