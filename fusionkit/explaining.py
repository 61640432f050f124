"""The names an explanation may import besides `fusionkit.api`. All are loaded when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionkit.data.batch import Batch as Batch
    from fusionkit.errors import Diagnostic as Diagnostic
    from fusionkit.evaluation.formatting import MetricResult as MetricResult
    from fusionkit.evaluation.plots.style import PALETTE as PALETTE
    from fusionkit.evaluation.plots.style import fitting as fitting
    from fusionkit.explanation.activations import Features as Features
    from fusionkit.explanation.activations import Gates as Gates
    from fusionkit.explanation.bar_plot import BarGroup as BarGroup
    from fusionkit.explanation.bar_plot import Panel as Panel
    from fusionkit.explanation.bar_plot import bars_figure as bars_figure
    from fusionkit.explanation.case_means import means as means
    from fusionkit.explanation.cases import CaseOutput as CaseOutput
    from fusionkit.explanation.cases import Cases as Cases
    from fusionkit.explanation.feature_maps import FeatureMap as FeatureMap
    from fusionkit.explanation.feature_maps import Survey as Survey
    from fusionkit.explanation.network_view import NetworkView as NetworkView
    from fusionkit.explanation.output_folder import Folder as Folder
    from fusionkit.explanation.scores import HeadScores as HeadScores
    from fusionkit.explanation.scores import MapScores as MapScores
    from fusionkit.explanation.selection import ChosenCase as ChosenCase
    from fusionkit.explanation.selection import ExplainedHead as ExplainedHead
    from fusionkit.explanation.selection import correct as correct
    from fusionkit.explanation.selection import value_for as value_for
    from fusionkit.explanation.views import Prior as Prior
    from fusionkit.explanation.views import RunPart as RunPart
    from fusionkit.explanation.views import RunView as RunView
    from fusionkit.inference.predict import HeadResult as HeadResult
    from fusionkit.planning.plan import PlannedHead as PlannedHead
    from fusionkit.planning.plan import Value as Value
    from fusionkit.progress import Progress as Progress
else:
    from fusionkit.exports import load_late

    __getattr__, __dir__ = load_late(__name__)
