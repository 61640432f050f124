"""Each file in graphs/bad has one kind of fault, or several, and beside it what is said about it, to the letter.

`python tests/planning/test_bad_graphs.py` writes the texts anew; read the difference before you keep it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from odd_components import registry

from fusionkit.errors import GraphError
from fusionkit.network.build import plan

BAD = Path(__file__).parents[1] / "graphs" / "bad"
NAMES = sorted(path.stem for path in BAD.glob("*.yaml"))
CODES = {  # every code that a graph file can earn before anything is built
    "absent-input", "auto-size", "bad-id", "bad-input", "bad-name", "bad-node", "bad-option", "bad-reference",
    "component",
    "component-failed", "cycle", "duplicate-key", "input-count", "leads-nowhere", "masked-input", "missing-key",
    "missing-option",
    "missing-package", "name-taken", "no-head", "not-installed", "not-utf8", "reserved-name", "rule-disagrees",
    "shape-clash", "two-providers", "unconnected-port", "unknown-component", "unknown-key", "unknown-name",
    "unknown-option", "unknown-port", "unused-input", "wrong-contract", "wrong-kind", "wrong-layout",
    "wrong-size", "wrong-type", "wrong-value", "wrong-version", "yaml-alias", "yaml-documents", "yaml-key",
    "yaml-limit",
    "yaml-syntax",
    "yaml-tag"}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_a_bad_graph(name: str, monkeypatch: pytest.MonkeyPatch):
    if name.startswith("yaml_") and not hasattr(yaml, "CSafeLoader"):
        pytest.xfail("PyYAML's own parser words its faults differently from libyaml")
    monkeypatch.chdir(BAD)
    with pytest.raises(GraphError) as caught:
        plan(f"{name}.yaml", registry=registry())
    assert f"{caught.value}\n" == (BAD / f"{name}.txt").read_text(encoding="utf-8")
    for found in caught.value.diagnostics:
        assert found.span is not None and found.span.file == f"{name}.yaml"
        assert found.fix, f"{found.code} has no fix"
        for text in (found.message, found.why or "", found.fix):
            assert text == text.strip() and "{}" not in text and "None" not in text, text


def test_every_graph_has_its_text_and_every_code_its_graph():
    assert {path.stem for path in BAD.glob("*.txt")} == set(NAMES)
    texts = "".join(path.read_text(encoding="utf-8") for path in BAD.glob("*.txt"))
    assert set(re.findall(r"^\S.* \[([a-z0-9-]+)\]$", texts, re.MULTILINE)) == CODES


if __name__ == "__main__":
    os.chdir(BAD)
    for graph in NAMES:
        with pytest.raises(GraphError) as told:
            plan(f"{graph}.yaml", registry=registry())
        Path(f"{graph}.txt").write_text(f"{told.value}\n", encoding="utf-8")
