"""Pictures on another disk, by absolute paths: every command that reads data takes `--data-root`; a run keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_study import DATA, edit_table, write_study
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("roots") / "study",
                         DATA.replace("pictures/{picture}", "{picture}"))
    disk = folder.parent / "disk"
    (folder / "pictures").rename(disk)
    edit_table(folder / "cases.csv", lambda rows: [
        row.update(picture=row["picture"] and str(disk / row["picture"])) for row in rows] and None)
    (folder / "copy.yaml").write_text((folder / "data.yaml").read_text())
    command = ["train", str(folder / "graph.yaml"), str(folder / "data.yaml"), "-o", str(folder / "run")]
    assert main(command) == 2
    assert main([*command, "--data-root", str(disk)]) == 0
    return folder


def test_a_run_keeps_the_folders_of_its_own_data(study: Path, tmp_path: Path) -> None:
    assert json.loads((study / "run" / "run.json").read_text())["data_roots"] == [str(study.parent / "disk")]
    assert main(["evaluate", str(study / "run"), "-o", str(tmp_path)]) == 0
    assert main(["predict", str(study / "run"), str(study / "data.yaml")]) == 0
    assert main(["calibrate", str(study / "run")]) == 0


@pytest.mark.parametrize("words", [
    ["predict", "RUN", "DATA"], ["evaluate", "RUN", "DATA", "-o", "OUT"],
    ["calibrate", "RUN", "DATA", "--include-training-cases"], ["explain", "RUN", "--data", "DATA", "-o", "OUT"],
    ["check", "GRAPH", "--data", "DATA"], ["build", "GRAPH", "--data", "DATA"],
    ["compare", "GRAPH", "DATA", "--node", "both", "--with", "fusion.concat", "-o", "OUT", "--epochs", "1",
     "--no-baselines"]])
def test_every_command_that_reads_data_takes_it(study: Path, tmp_path: Path, words: list[str],
                                               capsys: pytest.CaptureFixture[str]) -> None:
    if words[0] == "explain":
        pytest.importorskip("captum")
    places = {"RUN": study / "run", "DATA": study / "copy.yaml", "GRAPH": study / "graph.yaml", "OUT": tmp_path}
    command = [str(places.get(word, word)) for word in words]
    graph = study / "graph.yaml"
    text = graph.read_text()
    try:
        if words[0] in ("check", "build"):
            graph.write_text(text.replace("image: [1, 4, 5]", "image: auto"))
        assert main(command) == 2
        assert "[path-outside]" in "".join(capsys.readouterr())
        assert main([*command, "--data-root", str(study.parent / "disk")]) == 0
    finally:
        graph.write_text(text)
