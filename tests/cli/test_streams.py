"""Standard output that is closed, full or left by its reader; names with control characters in what commands print."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from acme_packages import CATALOGUE, HOOKS, installing
from small_study import without_plots as without_plots
from tiny_study import write_study

from fusionkit.cli.parser import main
from fusionkit.interface.console import Console
from fusionkit.interface.train import train

COMPLETE = {"metrics.json", "predictions.csv", "run.json", "model.safetensors"}


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_training_goes_on_when_its_output_is_gone(tmp_path: Path) -> None:
    graph, data = write_study(tmp_path)
    with Path("/dev/full").open("w") as full:
        train(graph, data, output=tmp_path / "run", console=Console(output=full))
    assert names_in(tmp_path / "run") >= COMPLETE


@pytest.mark.slow  # a process of its own imports torch and trains
@pytest.mark.parametrize("redirect", ["| head -n 1", ">&- 2>&- <&-"])
def test_a_run_is_complete_whatever_becomes_of_its_output(tmp_path: Path, redirect: str) -> None:
    graph, data = write_study(tmp_path)
    line = f"set -o pipefail; {sys.executable} -m fusionkit train {graph} {data} -o {tmp_path / 'run'} {redirect}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert names_in(tmp_path / "run") >= COMPLETE
    assert "Error" not in done.stderr and "report" not in done.stderr


@pytest.mark.slow
def test_a_result_that_is_only_printed_and_cannot_be_is_a_failure(tmp_path: Path) -> None:
    line = f"{sys.executable} -m fusionkit plugins list --json > /dev/full"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "standard output cannot be written" in done.stderr
    line = f"set -o pipefail; {sys.executable} -m fusionkit plugins list | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["check", "build"])
def test_the_name_of_a_graph_is_escaped(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    graph, _ = write_study(tmp_path)
    text = Path(graph).read_text().replace("name: small", r'name: "x\x1b]0;owned\x07\u202e"')
    Path(graph).write_text(text.replace('["no", "yes"]', r'["\e[2Jno", "\u009b31m"]'))
    for more in ([], ["--json"], ["-o", str(tmp_path / "made")] if command == "build" else ["--resolved"]):
        assert main([command, graph, *more]) == 0
    seen = capsys.readouterr()
    assert all(char.isprintable() or char == "\n" for char in seen.out + seen.err)
    if command == "build":
        drawn = (tmp_path / "made" / "graph.svg").read_text() + (tmp_path / "made" / "graph.mmd").read_text()
        assert all(char.isprintable() or char == "\n" for char in drawn)


def test_a_catalogue_is_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
                                ) -> None:
    installs = installing(tmp_path, monkeypatch)
    next(installs)("acme-lungs", HOOKS)
    (tmp_path / "acme_lungs" / "registry.yaml").write_text(CATALOGUE.format(package="acme-lungs") + (
        '  fusion.esc: {at: os, summary: "\\e[31mred\\e]0;owned\\a\\u202e.", category: "v\\e[2J"}\n'
        'others:\n  innocent: {versions: ">=1", summary: "A \\e[2J\\e]0;owned\\a.", link: "https://x/\\e[31m", '
        "provides: [fusion.gmv]}\n"))
    for words in (["--all"], ["--all", "--json"], ["--category", "v\x1b[2J"]):
        assert main(["plugins", "list", *words]) == 0
    assert main(["plugins", "show", "fusion.esc"]) == 2
    seen = capsys.readouterr()
    assert all(char.isprintable() or char == "\n" for char in seen.out + seen.err)
    next(installs, None)


def test_arguments_are_escaped_in_messages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check\x1b[2J"])
    assert main(["check", "a\x1b[2J.yaml"]) == 2
    seen = capsys.readouterr()
    assert "\x1b" not in seen.out + seen.err and os.linesep in seen.err


def test_control_characters_in_a_figure(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    from matplotlib.figure import Figure

    from fusionkit.evaluation.plots.style import applied, save

    with applied():
        figure = Figure()
        figure.suptitle("t\x07 $\\frac$ <b>")
        figure.subplots().plot([1, 2], label="a\x1b[2J\x00")
        figure.axes[0].legend()
        _, svg = save(figure, tmp_path / "f")
    ElementTree.parse(svg)
