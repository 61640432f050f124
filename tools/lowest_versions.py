"""Prints the requirements of fusionkit pinned at their lowest versions, to test that the floors in pyproject.toml hold.

    python tools/lowest_versions.py [EXTRA ...] > lowest.txt
    python -m venv LOWEST && LOWEST/bin/pip install -r lowest.txt && LOWEST/bin/pip install --no-deps -e .
    LOWEST/bin/python -m pytest tests

Only what is named in pyproject.toml is pinned: what those packages bring is for pip to choose, as for users. Decoders
of the extra `dicom` need a higher NumPy than fusionkit itself, so they are left out unless that extra is named.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
YANKED = {"build": "1.2.1", "pytest-xdist": "3.6.1", "setuptools": "77.0.1"}
"""Floors of the test tools that were withdrawn or never published, with the first version that can be installed."""


def lowest(extras: list[str]) -> list[str]:
    """Each requirement at its floor; one without a floor stays open."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    decoders = {Requirement(text).name for text in optional["dicom"]} | {"pyjpegls"}
    found: dict[str, str] = {}
    for text in (*project["dependencies"], *(text for extra in extras for text in optional[extra])):
        requirement = Requirement(text)
        if requirement.name == project["name"] or (requirement.name in decoders and "dicom" not in extras):
            continue
        floors = [part.version for part in requirement.specifier if part.operator == ">="]
        floor = YANKED.get(requirement.name, floors[0] if floors else "")
        found[requirement.name] = f"{requirement.name}=={floor}" if floor else requirement.name
    return sorted(found.values())


if __name__ == "__main__":
    sys.stdout.write("\n".join(lowest(sys.argv[1:])) + "\n")
