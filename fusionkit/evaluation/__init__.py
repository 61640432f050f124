"""Metrics of predictions with intervals, their plots and their files.

Predictions are made in `inference`. Comparisons of several networks are in `comparison`.
"""

from fusionkit.evaluation.formatting import MetricResult
from fusionkit.evaluation.report import HeadReport, evaluate_predictions, table
from fusionkit.evaluation.report_files import write_report

__all__ = ["HeadReport", "MetricResult", "evaluate_predictions", "table", "write_report"]
