"""Importing a component's file is silent, quick, changes nothing and loads nothing that nobody declares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionkit.testing.faults import Fault
from fusionkit.testing.packages import imports
from fusionkit.testing.packages.imports import import_faults

MODULES = {
    "silent": "import torch\nVALUE = torch.zeros(3)\n",
    "prints": "import os\nos.write(1, b'loaded\\n')\n",
    "warns": "import warnings\nwarnings.warn('old thing')\n",
    "sets": "import torch\ntorch.set_default_dtype(torch.float64)\n",
    "draws": "import random\nrandom.random()\n",
    "asks": "import os\nos.environ['CUDA_VISIBLE_DEVICES'] = ''\n",
    "hides": "import warnings\nwarnings.filterwarnings('ignore')\n",
    "dies": "import os\nos._exit(3)\n",
    "breaks": "'text' + 1\n",
    "borrows": "import json\n\nimport hypothesis\n",
    "needs": "import hypothesis\nfrom fusionkit.api import Uncertainty, Config\n"
             "component = Uncertainty('x', Config, print, needs=('hypothesis>=6',))\n",
    "last": "VALUE = 1\n",
}


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Fault]]:
    """What is wrong with each, all imported in one go."""
    folder = tmp_path_factory.mktemp("loud")
    (folder / "loud_package").mkdir()
    (folder / "loud_package" / "__init__.py").touch()
    for name, text in MODULES.items():
        (folder / "loud_package" / f"{name}.py").write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        found = import_faults([f"loud_package.{name}" for name in MODULES], "fusionkit")
        yield {name.rpartition(".")[2]: fault for name, fault in found.items()}
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("loud_package", None)


@pytest.mark.parametrize(("name", "words", "line"), [
    ("prints", "prints 'loaded'", 1),
    ("warns", "warns: UserWarning: old thing", 1),
    ("sets", "changes torch's default dtype", 1),
    ("draws", "changes Python's random numbers", 1),
    ("asks", "changes the environment", 1),
    ("hides", "changes which warnings are shown", 1),
    ("dies", "it does not import: it ends the process with code 3", 1),
    ("breaks", "it does not import: TypeError", 1),
    ("borrows", "loads hypothesis, which nobody declares", 3),
])
def test_what_an_import_does_beside_is_told(faults: dict[str, Fault], name: str, words: str, line: int) -> None:
    assert words in faults[name].seen
    assert faults[name].fix
    file, _, number = faults[name].place.rpartition(":")
    assert (Path(file).name, int(number)) == (f"{name}.py", line)


def test_what_is_declared_or_silent_is_not_told(faults: dict[str, Fault]) -> None:
    assert faults.keys() == MODULES.keys() - {"silent", "needs", "last"}


@pytest.mark.slow  # a process of its own imports torch
def test_time_is_that_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "SECONDS", -1.0)
    fault = import_faults(["fusionkit_plugins.uncertainty.none"], "fusionkit")["fusionkit_plugins.uncertainty.none"]
    assert "s of CPU time" in fault.seen
