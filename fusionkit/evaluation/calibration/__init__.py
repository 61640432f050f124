"""What is fitted on held-out cases: a temperature, and prediction sets that hold the truth as often as asked.

Which cases these are is decided in `runs`. How well it worked is measured in `evaluation.uncertainty_metrics`.
"""

from fusionkit.evaluation.calibration.record import (
    CALIBRATION,
    Calibrated,
    Calibration,
    Choices,
    HeadCalibration,
    apply_head,
    fit_head,
    read_calibration,
    write_calibration,
)

__all__ = ["CALIBRATION", "Calibrated", "Calibration", "Choices", "HeadCalibration", "apply_head", "fit_head",
           "read_calibration", "write_calibration"]
