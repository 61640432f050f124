"""How good predictions are: metrics with intervals, their plots and their files.

Predictions are made in `inference`. What several networks are compared by is in `comparison`.
"""

from fusionkit.evaluation.formatting import Metric
from fusionkit.evaluation.report import HeadReport, evaluate_predictions, table, write_report

__all__ = ["HeadReport", "Metric", "evaluate_predictions", "table", "write_report"]
