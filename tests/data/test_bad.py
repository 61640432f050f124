"""Bad data files, tables and files of cases: each folder holds its expected messages in expected.txt."""

import json
from pathlib import Path

import pytest

from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.errors import DataError, Span

BAD = Path(__file__).parent / "bad"
FOLDERS = sorted(folder.name for folder in BAD.iterdir())


def load(folder: Path) -> None:
    description = describe("data.yaml")
    heads = {name: head(**given) for name, given in plain(folder / "heads.json").items()}
    needs = {name: need(**given) for name, given in plain(folder / "inputs.json").items()}
    load_cohort(description, heads, needs, workers=2)


def plain(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


def head(task, classes=(), span=None, size=1):
    return HeadTarget(task, tuple(classes), Span(*span) if span else None, size)


def need(sizes, optional=False, span=None, masked=False, most=None, layout=""):
    return InputNeed(tuple(sizes), optional, Span(*span) if span else None, masked, most, layout=layout)


def test_the_corpus_is_there():
    assert len(FOLDERS) >= 60


@pytest.mark.parametrize("name", FOLDERS)
def test_message(name, monkeypatch):
    monkeypatch.chdir(BAD / name)
    with pytest.raises(DataError) as caught:
        load(BAD / name)
    # A line that ends in * quotes another library, whose words change with its version: its beginning must agree.
    met = str(caught.value).split("\n")
    expected = (BAD / name / "expected.txt").read_text().rstrip("\n").split("\n")
    cut = [line[: len(wanted) - 1] + "*" if wanted.endswith("*") else line
           for line, wanted in zip(met, expected, strict=False)] + met[len(expected):]
    assert cut == expected
    # The YAML reader alone may not know the remedy.
    assert [d.code for d in caught.value.diagnostics if not d.fix and d.code != "yaml-syntax"] == []
