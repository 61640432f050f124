"""The command line: exit codes, what it prints, what it imports, and the page made from it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fusionkit.cli import commands
from fusionkit.cli.parser import main, parser

ROOT = Path(__file__).resolve().parents[2]
GRAPH = """\
fusionkit: 1
name: small
inputs:
  table: {vector: [5]}
nodes:
  told: {use: encoder.mlp, from: table, with: {width: 7}}
  result: {use: head.classify, from: told, with: {classes: [no, yes]}}
"""


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(GRAPH)
    return path


@pytest.mark.parametrize(
    "arguments", [["--help"], ["plugins", "list"], ["plugins", "list", "--json"], ["train", "--help"]])
def test_light_commands_import_no_torch(arguments: list[str]) -> None:
    code = ("import sys; from fusionkit.cli.parser import main\n"
            "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
            "heavy = {'torch', 'timm', 'transformers', 'numpy', 'pydantic', 'monai'} & set(sys.modules)\n"
            "sys.exit(f'imported {heavy}' if heavy else 0)")
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_word_too_many_is_told_by_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "graph.yaml", "data.yaml", "--node", "both", "--with", "fusion.sum", "fusion.mean"])
    told = capsys.readouterr().err
    assert told.startswith("fusionkit compare: unrecognized arguments: fusion.mean [bad-argument]")
    assert "`fusionkit compare --help`" in told


def test_check_says_that_a_good_graph_is_good(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(graph)]) == 0
    assert "good" in capsys.readouterr().out


def test_check_reports_every_file_and_exits_with_2(graph: Path, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(GRAPH.replace("encoder.mlp", "encoder.mpl"))
    second.write_text(GRAPH.replace("from: told", "from: tld"))
    assert main(["check", str(first), str(graph), str(second)]) == 2
    said = capsys.readouterr()
    assert "first.yaml:6:15" in said.err
    assert "second.yaml:7:38" in said.err
    assert "small.yaml: good" in said.out
    assert "Traceback" not in said.err


def test_check_as_json_is_only_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(GRAPH.replace("[no, yes]", "[no]"))
    assert main(["check", str(bad), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"]
    assert told["diagnostics"][0]["where"]["line"] == 7


def test_set_changes_the_graph(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(graph), "--json", "--set", "nodes.told.with.width=11"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["nodes"][0]["gives"] == {"told": [11]}


def test_build_shows_how_a_node_learns(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = ["--set", "nodes.told.rate=0.1", "--set", "nodes.told.unfreeze=5"]
    assert main(["build", str(graph), *keys]) == 0
    assert "node told: learns from epoch 5, 0.1 times the learning rate\n" in capsys.readouterr().out
    assert main(["build", str(graph), "--json", *keys]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert (nodes[0]["rate"], nodes[0]["unfreeze"]) == (0.1, 5) and "rate" not in nodes[1]


def test_set_that_is_no_assignment_is_a_clear_fault(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(graph), "--set", "nodes.told"]) == 2
    assert "is not an assignment" in capsys.readouterr().err


def test_build_leaves_a_folder_that_loads(graph: Path, tmp_path: Path) -> None:
    import torch

    import fusionkit

    assert main(["build", str(graph), "-o", str(tmp_path / "made"), "--seed", "3"]) == 0
    kept = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert kept == ["graph.mmd", "graph.svg", "graph.yaml", "listing.txt", "lock.json", "model.safetensors"]
    case = {"table": torch.randn(3, 5)}
    again = fusionkit.load(tmp_path / "made")
    assert torch.equal(again(case)["result"], fusionkit.build(graph, seed=3).eval()(case)["result"])


def test_build_never_writes_over_other_files(
    graph: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = graph.rename(graph.with_name("graph.yaml"))
    monkeypatch.chdir(mine.parent)
    assert main(["build", "graph.yaml", "-o", "."]) == 2
    assert "give a new folder" in capsys.readouterr().err
    assert mine.read_text() == GRAPH
    assert main(["build", "graph.yaml", "-o", "made"]) == main(["build", "graph.yaml", "-o", "made"]) == 0


def test_unknown_graph_name_offers_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "organ"]) == 2
    assert "did you mean 'organs'" in capsys.readouterr().err


def test_plugin_file_is_used(graph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = (ROOT / "docs" / "plugins.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "difference.py").write_text(source)
    text = GRAPH.replace("  result: {use: head.classify, from: told", "  other: {use: encoder.mlp, from: table, "
                         "with: {width: 7}}\n  apart: {use: fusion.difference, from: [told, other]}\n"
                         "  result: {use: head.classify, from: apart")
    graph.write_text(text)
    assert main(["check", str(graph)]) == 2
    capsys.readouterr()
    assert main(["check", str(graph), "--plugin", str(tmp_path / "difference.py")]) == 0


def test_plugins_show_names_options_and_a_snippet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "show", "fusion.gmu"]) == 0
    said = capsys.readouterr().out
    assert "width" in said
    assert "use: fusion.gmu" in said
    assert "drop" in said


def test_unknown_component_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "show", "fusion.gmmu"]) == 2
    assert "did you mean 'fusion.gmu'" in capsys.readouterr().err


def test_wrong_arguments_are_exit_2_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["build"])
    assert stop.value.code == 2
    assert "--help" in capsys.readouterr().err


def test_a_fault_of_ours_is_exit_1_without_a_traceback(
    graph: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr("fusionkit.network.build.plan_tree", broken)
    assert main(["check", str(graph)]) == 1
    said = capsys.readouterr().err
    assert "please report" in said
    assert "Traceback" not in said


def test_doctor_finds_this_installation_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sound"]


def tool(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_page_of_the_command_line_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "COLUMNS", "100")
    made = tool("cli_docs")
    assert words(made.PAGE.read_text()) == words(made.page()), "run python tools/cli_docs.py"


def words(page: str) -> list[str]:
    """The words of the page: argparse of Python 3.13 breaks lines elsewhere, and writes `-o, --output DIR`."""
    page = re.sub(r"(-\w) (\S+), (--[\w-]+ \2)", r"\1, \3", page)
    return re.sub(r"(?<=\w)-\s+(?=\w)", "-", page).split()


def test_flags_keywords_and_table_of_training_are_those_of_the_settings() -> None:
    for path, text in tool("training_flags").FILES.items():
        assert path.read_text() == text(), "run python tools/training_flags.py"


def test_a_file_of_the_commands_package_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plugins_greet.py").write_text(
        'SUMMARY = "Greet."\ndef add_arguments(parser): parser.add_argument("name")\n'
        'def run(args, console):\n    console.line(f"hello {args.name}")\n    return 0\n')
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    try:
        assert main(["plugins", "greet", "you"]) == 0
    finally:
        sys.modules.pop("fusionkit.cli.commands.plugins_greet", None)
    assert capsys.readouterr().out == "hello you\n"
    assert "Greet." in parser(["plugins"])._subparsers._group_actions[0].choices["plugins"].format_help()


def test_the_order_of_help_names_commands_that_exist() -> None:
    assert set(commands.ORDER) <= set(commands.names())


@pytest.mark.parametrize("argv", [["weights"], ["plugins", "show"], ["nonsense"], ["--help"]])
def test_a_part_of_the_parser_says_what_the_whole_says(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for made in (parser(argv), parser()):
        with pytest.raises(SystemExit):
            made.parse_args(argv if argv == ["nonsense"] else [*argv, "--help"])
        said.append(capsys.readouterr())
    assert said[0] == said[1]
