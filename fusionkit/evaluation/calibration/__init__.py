"""What a run learns from held-out cases about its own predictions: a temperature, and sets that hold the truth."""

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
