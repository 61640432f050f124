"""The lock file pins, by hash, what fits the bounds of pyproject.toml, and names no index and no machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINS = {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", TEXT, re.M)}


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(text) for text in (*project["dependencies"], *extras["export"], *extras["serve"])]
    assert wanted
    outside = {str(each): PINS.get(canonicalize_name(each.name)) for each in wanted
               if not each.specifier.contains(PINS.get(canonicalize_name(each.name), "0"))}
    assert not outside, "python tools/write_lock.py"


def test_every_pin_has_hashes_and_no_index_is_named() -> None:
    parts = re.split(r"^(?=[\w.-]+==)", TEXT, flags=re.M)[1:]
    assert len(parts) == len(PINS) and all(re.search(r"--hash=sha256:[0-9a-f]{64}", part) for part in parts)
    assert "://" not in TEXT and "--index" not in TEXT and "--find-links" not in TEXT
