"""Values of DICOM files against recorded ones: air and windows of CT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fusionkit_plugins.readers.dicom import DicomOptions, read
from recorded import GOLDEN

FOLDER = GOLDEN / "images/dicom"
RECORDED = np.load(FOLDER / "expected.npz")


def options(**given: Any) -> DicomOptions:
    return DicomOptions(path="{id}", **given)


@pytest.mark.parametrize("name", ["ct_no_tag", "ct_pad_3024", "ct_pad_range", "ct_pad_signed", "ct_pad_unsigned",
                                  "ct_pad_zero"])
def test_padding_and_windows_of_a_ct(name: str) -> None:
    path = FOLDER / f"{name}.dcm"
    np.testing.assert_array_equal(read(path, options())[0, 0], RECORDED["ct.air"])
    windows = {"lung": [-1350, 150], "soft": [-160, 240], "bone": [-450, 1050]}
    for given in (windows, list(windows)):
        np.testing.assert_allclose(read(path, options(window=given))[:, 0], RECORDED["ct.windows"], atol=1e-6)
