"""python -m tools.fuzz: it finds what is planted, outlives it, keeps it, runs it again; fusionkit holds for a while."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from planted_cases import ENDS

from tools.fuzz import __main__ as tool
from tools.fuzz import images, session, tables
from tools.fuzz.mutations import damaged, garbled, mangled
from tools.fuzz.session import Session
from tools.fuzz.steps import Outcome, escape, judged, printed
from tools.fuzz.worker import Cases

SEED = 2
LABELS = {"raises": "KeyError", "panics": "BaseException", "exits": "the process ends with code 3",
          "aborts": "crash, SIGABRT", "hangs": "hang", "acts": "control characters"}

ROOT = Path(__file__).parents[2]


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(session, "SECONDS_TO_HANG", 1.0)
    with Session("planted", "planted_cases", SEED, tmp_path / "escapes", tmp_path, told=lambda line: None) as made:
        yield made


def end_of(folder: Path) -> str:
    return (folder / "input.txt").read_text().split()[1]


def finding(**changed: str) -> str:
    found = {"code": "a", "severity": "error", "message": "'b' is wrong", "where": None, "why": None, "fix": "do it"}
    return json.dumps({"ok": False, "diagnostics": [found | changed]})


def test_every_fault_is_found_and_kept_as_it_was_before_it_ran(planted: Session, tmp_path: Path) -> None:
    planted.run(range(16))
    assert {label for verdict, label in planted.counts if verdict == "escape"} == set(LABELS.values())
    assert planted.counts["refused", "bad-option"] and planted.counts["accepted", ""]
    assert sum(planted.counts.values()) == 16
    kept = sorted((tmp_path / "escapes").iterdir())
    assert {end_of(folder) for folder in kept} == set(LABELS)
    for folder in kept:
        first, label = (folder / "escape.txt").read_text().splitlines()[:2]
        assert label == LABELS[end_of(folder)]
        assert first == f"python -m tools.fuzz planted --seed {SEED} --only {folder.name.rpartition('-')[2]}"
    assert "16 cases" in planted.table() and f"{planted.total('escape'):8}  escape" in planted.table()
    assert not list((tmp_path / "cases").iterdir()) or planted.counts["escape", "hang"]


def test_a_case_depends_on_its_number_alone(planted: Session, tmp_path: Path) -> None:
    first = {number: planted.outcome(number) for number in range(6)}
    again = {number: planted.outcome(number) for number in reversed(range(6))}
    assert {number: found.label for number, found in first.items()} == {
        number: found.label for number, found in again.items()}
    made = [planted.keep(4, escape("x")) / "input.txt" for _ in range(2)]
    assert made[0] != made[1] and made[0].read_text() == made[1].read_text()


def test_only_runs_one_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(tool.KINDS, "planted", "planted_cases")
    common = ["planted", "--seed", str(SEED), "--save", str(tmp_path)]
    raising = next(number for number in range(99)
                   if Random(f"planted_cases/{SEED}/{number}").choice(list(ENDS)) == "raises")
    assert tool.main([*common, "--only", str(raising)]) == 1
    told = capsys.readouterr().out
    assert told.startswith("escape KeyError\nTraceback") and end_of(tmp_path / f"planted-{SEED}-{raising}") == "raises"


def test_a_fault_planted_in_fusionkit_is_found_and_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("planted")

    cases = Cases(tables, 0, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("fusionkit.data.table.is_workbook", broken)
        found = cases.run(2)
        assert found == cases.run(2)
    assert found.verdict == "escape" and found.label.startswith("RuntimeError in fusionkit/data/")
    assert "planted" in found.detail and cases.run(2).verdict != "escape"


@pytest.mark.parametrize(("code", "output", "errors", "is_json", "label"), [
    (1, "", "fusionkit: it failed\n", False, "exit code 1"),
    (1, "", "Traceback (most recent call last):\n  File \"/x/fusionkit/data/a.py\", line 3, in read\nzlib.error: no\n",
     False, "error in fusionkit/data/a.py:read"),
    (2, "", "it is wrong\n", False, "refused without a code"),
    (2, "", "it is wrong [bad-option]\n", False, "no fix, bad-option"),
    (0, "", "\u202e", False, "control characters"),
    (0, "{", "", True, "no JSON"),
    (2, '{"diagnostics": []}', "", True, "refused without a finding"),
    (2, finding(message="no"), "", True, "no place, a"),
    (2, finding(fix=""), "", True, "no fix, a"),
])
def test_what_counts_as_an_escape(code: int, output: str, errors: str, is_json: bool, label: str) -> None:
    found = printed(code, output, errors, is_json)
    assert (found.verdict, found.label) == ("escape", label)


def test_a_kind_that_needs_a_missing_package_says_so(monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tools.fuzz.__main__.find_spec", lambda name: None if name == "pyarrow" else name)
    assert tool.main(["tables", "--cases", "1"]) == 2
    assert "fuzzing tables needs pyarrow: pip install -e '.[test]'" in capsys.readouterr().err


def test_memory_and_time_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    # In a process of its own, since the highest memory of this one may long have been above what the case takes.
    greedy = ("from tools.fuzz.steps import MOST_MEMORY, Outcome, judged\n"
              "def case():\n"
              "    taken = bytearray(MOST_MEMORY + (64 << 20))\n"
              "    taken[::4096] = b'x' * len(taken[::4096])\n"
              "    return Outcome('accepted')\n"
              "print(judged([case]).label)\n")
    done = subprocess.run([sys.executable, "-c", greedy], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "memory, accepted\n"
    monkeypatch.setattr("tools.fuzz.steps.MOST_CPU_SECONDS", -1.0)
    assert judged([lambda: Outcome("refused", "bad-option")]).label == "slow, bad-option"


def test_damage_is_drawn_from_its_seed_and_is_damage() -> None:
    tree = {"a": [1, {"b": "c"}], "d": {"e": [2.5, "f"]}}
    for hurt, whole in ((damaged, b"content of a file" * 9), (garbled, "text of a file" * 9), (mangled, tree)):
        made = [repr(hurt(Random(number), whole)) for number in range(40)]  # type: ignore[operator]
        assert made == [repr(hurt(Random(number), whole)) for number in range(40)]  # type: ignore[operator]
        assert len({*made}) > 30 and sum(each == repr(whole) for each in made) < 8
    assert tree == {"a": [1, {"b": "c"}], "d": {"e": [2.5, "f"]}}


def test_every_file_that_images_start_from_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "material").mkdir()
    images.prepare(tmp_path / "material")
    refused = {}
    for path in sorted((tmp_path / "material").iterdir()):
        folder = tmp_path / path.name
        folder.mkdir()
        (folder / path.name).write_bytes(path.read_bytes())
        monkeypatch.chdir(folder)
        outcomes = []
        for options in images.OPTIONS[images.reader_of(path)]:
            images.describe_file(folder, path, options)
            outcomes.append(images.read())
        if not any(each.verdict == "accepted" for each in outcomes):
            refused[path.name] = outcomes[0].label
    assert not refused


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "cases"), [("graphs", 23), ("tables", 17), ("images", 79), ("runs", 5)])
def test_fusionkit_holds_for_some_seconds(kind: str, cases: int, tmp_path: Path) -> None:
    with Session(kind, tool.KINDS[kind], 1, tmp_path / "escapes", tmp_path, told=lambda line: None) as made:
        made.run(range(cases))
    assert not made.total("escape"), made.table() + "".join(
        path.read_text() for path in (tmp_path / "escapes").rglob("escape.txt"))
    assert made.total("accepted") and made.total("refused")
