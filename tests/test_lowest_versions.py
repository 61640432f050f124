"""tools/lowest_versions.py, which CI installs from: every requirement of users at its floor, with tests that use it."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "tools" / "lowest_versions.py"))
FOR_DEVELOPERS = {"docs", "test"}


def test_every_requirement_of_users_has_a_floor_and_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    assert {*TOOL["EXTRAS"], "dicom"} == optional.keys() - FOR_DEVELOPERS
    needed = [Requirement(text) for text in (*project["dependencies"], *(
        text for extra in optional.keys() - FOR_DEVELOPERS for text in optional[extra]))]
    assert {each.name for each in needed} == TOOL["TESTS"].keys()
    assert all(str(each.specifier).startswith(">=") for each in needed)
    missing = [path for path in TOOL["TESTS"].values() if not (ROOT / path).is_file()]
    assert not missing


def test_pins_are_the_floors_and_decoders_come_by_themselves() -> None:
    pins = TOOL["lowest"]([*TOOL["EXTRAS"], "test"])
    assert {"numpy==1.26", "h5py==3.11", "build==1.2.1", "types-PyYAML"} <= {*pins}
    assert not [pin for pin in pins if pin.startswith(("pylibjpeg", "python-gdcm", "pyjpegls", "fusionkit"))]
    alone = TOOL["lowest"](["dicom"], own=False)
    assert {pin.partition("==")[0] for pin in alone} == {"pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle",
                                                         "python-gdcm"}
    assert TOOL["tests"](["dicom"], own=False) == ["tests/data/readers/test_damaged_files.py"]
