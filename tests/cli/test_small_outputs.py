"""Outputs that would mislead: where the cache is, what counts count, which component is meant, how long all takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fusionkit.cli.parser import main
from fusionkit.data import disk_cache
from fusionkit.training.estimate import Estimate

GRAPH = """\
fusionkit: 1
name: small
inputs:
  table: {vector: [2]}
nodes:
  told: {use: encoder.mlp, from: table, with: {width: 4%s}}
  result: {use: head.classify, from: told, with: {classes: [no, yes]}}
"""


def test_clean_removes_the_cache_beside_the_data_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("FUSIONKIT_CACHE", raising=False)
    data, cache = tmp_path / "data.yaml", tmp_path / ".fusionkit-cache"
    data.write_text("fusionkit-data: 1\n")
    for name in ("ab" * 32, "cd" * 32):
        disk_cache.store(cache, name, np.zeros((1, 2), dtype=np.float32), {"spacing": [1]})
    (cache / "ab" / "notes.txt").write_text("mine")
    assert main(["clean", str(data), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["folder"], told["files"]) == (str(cache), 4)
    assert [str(path.relative_to(cache)) for path in sorted(cache.rglob("*"))] == ["ab", "ab/notes.txt"]
    (cache / "ab" / "notes.txt").unlink()
    assert main(["clean", str(tmp_path)]) == 0
    assert not cache.exists() and data.exists()
    assert f"nothing to remove in {cache}" in capsys.readouterr().out


def test_clean_takes_the_folder_that_the_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONKIT_CACHE", str(tmp_path / "elsewhere"))
    (tmp_path / "data.yaml").write_text("fusionkit-data: 1\n")
    disk_cache.store(tmp_path / "elsewhere", "ab" * 32, np.zeros((1, 2), dtype=np.float32))
    assert main(["clean", str(tmp_path / "data.yaml")]) == 0
    assert not (tmp_path / "elsewhere").exists()
    assert main(["clean", str(tmp_path / "nothing.yaml")]) == 2


def test_a_count_of_mistakes_names_the_files_that_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(GRAPH % "")
    Path("bad.yaml").write_text(GRAPH % ", wide: 3, hiden: [2]")
    Path("worse.yaml").write_text((GRAPH % "").replace("from: told", "from: tould").replace("[2]}", "[2], lost: 1}"))
    assert main(["check", "good.yaml", "bad.yaml"]) == 2
    assert capsys.readouterr().err.endswith("\n2 mistakes in bad.yaml\n")
    assert main(["check", "good.yaml", "bad.yaml", "worse.yaml"]) == 2
    assert capsys.readouterr().err.endswith("\n4 mistakes: 2 in bad.yaml, 2 in worse.yaml\n")


def test_a_component_is_found_without_its_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "show", "gmu"]) == 0
    short = capsys.readouterr().out
    assert main(["plugins", "show", "fusion.gmu"]) == 0
    assert short == capsys.readouterr().out and short.startswith("fusion.gmu: ")
    assert main(["plugins", "show", "evidential"]) == 2
    assert "fusion.evidential, head.evidential" in capsys.readouterr().err
    assert main(["plugins", "show", "gmuu"]) == 2


@pytest.mark.parametrize(("folds", "networks", "text"), [
    (1, 1, ""), (5, 1, "5 folds, trained one after the other, each as above: about 3.3 min in all"),
    (1, 3, "3 networks, trained one after the other, each as above: about 2.0 min in all"),
    (5, 3, "5 folds of 3 networks, trained one after the other, each as above: about 10.0 min in all")])
def test_an_estimate_is_for_all_folds(folds: int, networks: int, text: str) -> None:
    needed = Estimate(1, 1, 4, 4, 8, 4, None, 4, 10, 4, "cpu", 1.0)
    assert needed.total(folds, networks) == text
