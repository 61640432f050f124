"""Calibration on held-out cases: a temperature, and prediction sets with a requested coverage.

These cases are chosen in `runs`. The effect is measured in `evaluation.uncertainty_metrics`.
"""

from fusionkit.evaluation.calibration.record import (
    CALIBRATION,
    INTERVALS,
    SETS,
    Calibrated,
    Calibration,
    Choices,
    HeadCalibration,
    apply_head,
    fit_head,
    read_calibration,
    write_calibration,
)

__all__ = ["CALIBRATION", "INTERVALS", "SETS", "Calibrated", "Calibration", "Choices", "HeadCalibration", "apply_head",
           "fit_head", "read_calibration", "write_calibration"]
