"""What an author can get wrong of a package: each is found by its check, with its place and what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from made_packages import installed, write

from fusionkit.cli.parser import main
from fusionkit.errors import GraphError
from fusionkit.testing.faults import Fault, Finding
from fusionkit.testing.packages.check import check_package
from fusionkit.testing.scaffold.generate import package_files

GOOD = package_files("broken", "encoder")
INIT, CODE, LIST = (f"fusionkit_broken/{name}" for name in ("__init__.py", "broken.py", "registry.yaml"))
GRAPH, TAKEN = (f"fusionkit_broken/graphs/{name}.yaml" for name in ("broken", "organs"))
PROJECT = "pyproject.toml"
HOOK = "from fusionkit.api import hookimpl\n\n\n@hookimpl\n"
SECOND = ("from fusionkit_broken.broken import Broken, BrokenConfig\nfrom fusionkit.api import Encoder\n"
          "component = Encoder('other', BrokenConfig, Broken, rule='B _ -> B {width}')\n")


def changed(path: str, old: str, new: str) -> dict[str, str]:
    assert old in GOOD[path]
    return {path: GOOD[path].replace(old, new)}


def contract(text: str) -> dict[str, str]:
    return changed(INIT, 'return ">=2.0,<3"', f"return {text}")


# Check, words of what is seen, words of what to do, the file and a word of the line, what is changed.
BROKEN: dict[str, tuple[str, str, str, tuple[str, str], dict[str, str | None]]] = {
    "no entry point": (
        "entry point", "no entry point in the group 'fusionkit'", "[project.entry-points.fusionkit]",
        (PROJECT, "[project]"), {PROJECT: '[build-system]\n\n[project]\nname = "fusionkit-broken"\nversion = "1"\n'}),
    "entry point in another group": (
        "entry point", "no entry point in the group", "install it again", (PROJECT, "entry-points.fusion-kit"),
        changed(PROJECT, "entry-points.fusionkit", "entry-points.fusion-kit")),
    "entry point to nowhere": (
        "entry point", "ModuleNotFoundError: No module named 'fusionkit_brocken'", "pyproject.toml",
        (PROJECT, "entry-points"), changed(PROJECT, 'broken = "fusionkit_broken"', 'broken = "fusionkit_brocken"')),
    "entry point to no module": (
        "entry point", "is of type function, not a module", "pyproject.toml", (PROJECT, "entry-points"),
        changed(PROJECT, 'broken = "fusionkit_broken"', 'broken = "fusionkit_broken:fusionkit_graphs"')),
    "import error": (
        "entry point", "ImportError: cannot import name 'nothing'", "the module that it names",
        (INIT, "import nothing"), {INIT: "from fusionkit.api import hookimpl\nfrom os import nothing\n"}),
    "syntax error": (
        "entry point", "SyntaxError: ", "the module that it names", (INIT, "def broken(:"),
        {INIT: '"""One."""\n\ndef broken(:\n'}),
    "no hooks": (
        "hooks", "fusionkit_catalogue is not implemented", "@hookimpl def fusionkit_catalogue", (INIT, "Empty"),
        {INIT: '"""Empty."""\n'}),
    "misspelt hook": (
        "hooks", "fusionkit_catalog, which is no hook", "@hookimpl def fusionkit_catalogue", (INIT, "@hookimpl"),
        {INIT: HOOK + "def fusionkit_catalog():\n    return 'x'\n"}),
    "hook fails": (
        "hooks", "ZeroDivisionError", "@hookimpl def fusionkit_catalogue", (INIT, "1 / 0"),
        {INIT: HOOK + "def fusionkit_catalogue():\n    return 1 / 0\n"}),
    "hook gives a number": (
        "hooks", "TypeError", "fusionkit_catalogue() -> Path", (INIT, "from fusionkit.api"),
        {INIT: HOOK + "def fusionkit_catalogue():\n    return 7\n"}),
    "no folder of graphs": (
        "hooks", "which is no folder", "package-data", (INIT, "@hookimpl"), {GRAPH: None}),
    "contract not stated": (
        "contract", "it does not state the contract it was written for", "() -> str: return '>=2.0,<3'",
        (INIT, "Plugins of"), {INIT: GOOD[INIT].rpartition("\n\n\n@hookimpl")[0] + "\n"}),
    "contract of the future": (
        "contract", "written for contract >=3,<4; this fusionkit offers 2.0", "pip install --upgrade fusionkit",
        (INIT, "@hookimpl"), contract("'>=3,<4'")),
    "contract of the past": (
        "contract", "written for contract <1; this fusionkit offers 2.0", "make it work with contract 2.0",
        (INIT, "@hookimpl"), contract("'<1'")),
    "contract is not a range": (
        "contract", "its declared contract is not a version range: 'one'", "write a range such as '>=2.0,<3'",
        (INIT, "@hookimpl"), contract("'one'")),
    "contract is a number": (
        "contract", "its declared contract is not a version range: 1", "write a range", (INIT, "@hookimpl"),
        contract("1")),
    "no catalogue": (
        "catalogue", "does not exist", "plugins catalogue fusionkit-broken --write", (INIT, "@hookimpl"), {LIST: None}),
    "damaged catalogue": (
        "catalogue", "needs the key 'components'", "--write", (LIST, "fusionkit-catalogue"),
        {LIST: "fusionkit-catalogue: 1\npackage: fusionkit-broken\n"}),
    "summary changed": (
        "catalogue", '''it has "summary: 'Broken: one learned layer at every position, then a ReLU.'" where the '''
        "code says 'summary: Another.'", "--write", (LIST, "summary"),
        {CODE: '"""Another."""\n' + GOOD[CODE].split('"""\n', 1)[1]}),
    "component unlisted": (
        "catalogue", "lacks encoder.other", "--write", (LIST, ""), {"fusionkit_broken/other.py": SECOND}),
    "renamed package": (
        "catalogue", "'package: fusionkit-broken' where the code says 'package: fusionkit-broke'", "--write",
        (LIST, "package"), changed(PROJECT, 'name = "fusionkit-broken"', 'name = "fusionkit-broke"')),
    "component gone": (
        "import", "it has no 'component', and the catalogue names it", "declare one", (CODE, "Nothing"),
        {CODE: '"""Nothing."""\n'}),
    "component crashes": (
        "import", "ZeroDivisionError: division by zero", "fix the exception", (CODE, "1 / 0"), {CODE: "\n1 / 0\n"}),
    "wrong base": (
        "import", "is of type dict, not Encoder", "declare it", (CODE, "component"),
        {CODE: '"""Wrong."""\n\ncomponent = {}\n'}),
    "declared against the contract": (
        "import", "ContractError: encoder.broken", "fix the exception", (CODE, "component = "), {
            CODE: "from fusionkit.api import Config, Encoder\n\n"
                  "component = Encoder('broken', Config, print, rule='B _ -> B d')\n"}),
    "no requirement": (
        "import", "needs 'a b', which pip cannot install", "fix the exception", (CODE, "component = "),
        changed(CODE, '    rule=', '    needs=("a b",), rule=')),
    "heavy": (
        "light import", "loads numpy", "import neither components in it", (INIT, "import numpy"),
        changed(INIT, "_HERE = ", "import numpy\n\n_HERE = ")),
    "imports its component": (
        "light import", "loads pydantic, torch", "import neither components in it", (INIT, "import broken"),
        changed(INIT, "_HERE = ", "from fusionkit_broken import broken\n\n_HERE = ")),
    "talks": (
        "light import", "prints 'welcome'", "print nothing", (INIT, "print"),
        changed(INIT, "_HERE = ", "print()\nprint('welcome')\n_HERE = ")),
    "slow": (
        "light import", " ms of CPU time", "import neither components in it", (INIT, "Plugins of"),
        changed(INIT, "_HERE = ", "import time\nwhile time.process_time() < 1:\n    pass\n_HERE = ")),
    "taken": (
        "name", "fusionkit 0.", "name.v2", (LIST, "catalogue"), changed(LIST, "encoder.broken", "encoder.mlp")),
    "graph is wrong": (
        "graph broken", "there is no component 'encoder.brocken'", "did you mean 'encoder.broken'?", (GRAPH, "brocken"),
        changed(GRAPH, "encoder.broken", "encoder.brocken")),
    "graph does not fit": (
        "graph broken", "head.classify cannot read its input", "encoder.pool", (GRAPH, "from: seen"),
        {GRAPH: "fusionkit: 1\ninputs:\n  image: {image: [1, 17, 19]}\nnodes:\n"
                "  seen: {use: encoder.broken, from: image}\n"
                "  told: {use: head.classify, from: seen, with: {classes: [a, b]}}\n"}),
    "graph is taken": (
        "graph organs", "publishes a graph of this name too", "another name", (TAKEN, ""), {TAKEN: GOOD[GRAPH]}),
}


def check(folder: Path, changes: dict[str, str | None], name: str = "fusionkit-broken") -> dict[str, Finding]:
    """What was found, by check; of several of one check the worst."""
    files = {path: text for path, text in (GOOD | changes).items() if text is not None}
    with installed(write(folder, files)):
        findings = check_package(name, components=False)
    return {finding.check: finding for finding in sorted(findings, key=lambda finding: finding.result != "ok")}


@pytest.mark.parametrize(("name", "seen", "fix", "place", "changes"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_package_is_told(name: str, seen: str, fix: str, place: tuple[str, str],
                                  changes: dict[str, str | None], tmp_path: Path) -> None:
    project = "fusionkit-broke" if "name = \"fusionkit-broke\"" in str(changes.get(PROJECT)) else "fusionkit-broken"
    found = check(tmp_path, changes, project)
    assert name in found, found
    finding = found[name]
    assert finding.result == "failed"
    assert seen in finding.seen
    assert fix in finding.fix
    file, _, line = finding.where.rpartition(":")
    assert Path(file) == tmp_path / place[0]
    assert place[1] in (tmp_path / place[0]).read_text(encoding="utf-8").splitlines()[int(line) - 1]


def test_what_is_as_it_should_be_is_told_too(tmp_path: Path) -> None:
    found = check(tmp_path, {})
    assert {name: finding.result for name, finding in found.items()} == dict.fromkeys(
        ("entry point", "light import", "hooks", "contract", "catalogue", "graph broken", "import"), "ok")
    assert re.fullmatch(r"\d+ ms of CPU time", found["light import"].seen)
    assert found["contract"].seen == ">=2.0,<3"


def test_a_component_that_lacks_a_package_is_not_probed(tmp_path: Path) -> None:
    """Neither the catalogue nor its graph can be held against what cannot be imported; nothing of it is a failure."""
    code = changed(CODE, "    rule=", '    needs=("acme-solver", "pluggy>=99"), rule=')
    code[CODE] = "import acme_solver\n" + code[CODE]
    listed = changed(LIST, "    licence: Apache-2.0", "    licence: Apache-2.0\n    needs: [acme-solver, pluggy>=99]")
    found = check(tmp_path, code | listed)
    assert (found["import"].component, found["import"].result) == ("encoder.broken", "not probed")
    assert re.fullmatch(r"it needs acme-solver is not installed; pluggy>=99 is needed, [0-9.]+ is installed",
                        found["import"].seen)
    assert found["import"].fix == "pip install acme-solver 'pluggy>=99'"
    assert found["catalogue"].result == "not probed"
    assert found["graph broken"].result == "not probed"


def test_a_need_that_the_catalogue_does_not_know_is_found_in_the_component(tmp_path: Path) -> None:
    found = check(tmp_path, changed(CODE, "    rule=", '    needs=("acme-solver",), rule='))
    assert (found["import"].result, found["import"].fix) == ("not probed", "pip install acme-solver")


@pytest.mark.parametrize(("vector", "result"), [("[auto]", "ok"), ("[7]", "ok")])
def test_a_graph_that_leaves_sizes_to_the_data_is_tried(vector: str, result: str, tmp_path: Path) -> None:
    assert check(tmp_path, changed(GRAPH, "[7]", vector))["graph broken"].result == result


def test_a_graph_that_wants_other_sizes_than_are_guessed_is_not_probed(tmp_path: Path) -> None:
    graph = ("fusionkit: 1\ninputs:\n  image: {image: [3, auto, 17]}\nnodes:\n"
             "  narrow: {use: encoder.conv, from: image, with: {output: map}}\n"
             "  both: {use: fusion.concat, from: [image, narrow]}\n"
             "  told: {chain: [encoder.pool, {use: head.classify, with: {classes: [a, b]}}], from: both}\n")
    found = check(tmp_path, {GRAPH: graph})["graph broken"]
    assert found.result == "not probed"
    assert found.seen.startswith("with 32 for each size that it leaves to the data: fusion.concat cannot join")
    assert found.fix == "try it on data: fusionkit check broken --data DATA"


def test_the_command_says_all_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = GOOD | changed(CODE, "return self.layer(features).relu()", "return features.relu()")
    with installed(write(tmp_path, files)):
        assert main(["plugins", "check", "fusionkit-broken"]) == 1
    text = capsys.readouterr().out
    assert re.search(rf"^{re.escape(str(tmp_path / CODE))}:[0-9]+: encoder.broken: rule failed$", text, re.M)
    assert "no gradient reaches layer.bias, layer.weight" in text
    assert re.search(r"^[0-9]+ ok, [2-9] failed, 0 excepted, 0 not probed$", text, re.M)


def test_the_command_gives_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with installed(write(tmp_path, GOOD | {INIT: '"""Empty."""\n'})):
        assert main(["plugins", "check", "fusionkit_broken", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False
    assert [row["check"] for row in told["findings"] if row["result"] == "failed"] == ["hooks"]
    assert all(set(row) == {"component", "check", "result", "seen", "fix", "where"} for row in told["findings"])


def test_many_components_have_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [Finding(f"encoder.e{number}", name, "failed" if number == 3 and name == "rows" else "ok")
                for number in range(5) for name in ("rule", "rows")]
    monkeypatch.setattr("fusionkit.testing.packages.check.check_package", lambda package, update: findings)
    assert main(["plugins", "check", "anything"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[2:7]] == [
        ["encoder.e0", "2"], ["encoder.e1", "2"], ["encoder.e2", "2"], ["encoder.e3", "1", "rows"], ["encoder.e4", "2"]]


def test_the_command_checks_one_component_by_its_id(capsys: pytest.CaptureFixture[str],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionkit.testing.packages.component.import_faults", lambda modules, package: {
        modules[0]: Fault(f"importing {modules[0]} of {package} prints 'loud'", "print nothing", "somewhere.py:1")})
    assert main(["plugins", "check", "metric.accuracy"]) == 1
    told = capsys.readouterr().out
    assert "importing fusionkit_plugins.metrics.accuracy of fusionkit prints 'loud'" in told
    assert re.search(r"^[0-9]+ ok, 1 failed, 0 excepted, 0 not probed$", told, re.M)
    assert main(["plugins", "check", "encoder.comv"]) == 2
    assert "did you mean 'encoder.conv'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fusionkit-broken", "fusionkit_broken", "Fusionkit.Broken", "broken"])
def test_a_package_is_found_by_any_of_its_names(name: str, tmp_path: Path) -> None:
    with installed(write(tmp_path, GOOD)):
        findings = check_package(name, components=False)
    assert {finding.component for finding in findings} == {"fusionkit-broken", "encoder.broken"}


def test_a_package_that_is_not_there_is_a_fault_of_the_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(GraphError, match="not-installed"):
        check_package("fusionkit-nowhere")
    assert main(["plugins", "check", "fusionkit-nowhere"]) == 2
    assert "pip install" in capsys.readouterr().err


def test_what_a_plugin_prints_stays_out_of_the_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loud = changed(CODE, "super().__init__()", "super().__init__(); print('built')")
    graph = (tmp_path / "fusionkit_broken" / "graphs" / "broken.yaml")
    with installed(write(tmp_path, GOOD | loud)):
        assert main(["plugins", "check", "fusionkit-broken", "--json"]) == 1
        checked = capfd.readouterr()
        assert main(["build", str(graph), "--json"]) == 0
        built = capfd.readouterr()
    findings = {finding["check"]: finding for finding in json.loads(checked.out)["findings"]}
    assert "the constructor prints 'built'" in findings["evaluation"]["seen"]
    assert findings["compile"]["result"] == "not probed"
    assert json.loads(built.out)["heads"]
    assert "built" in checked.err and "built" in built.err


def test_progress_counts_the_checks(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    with installed(write(tmp_path, GOOD)):
        findings = check_package("fusionkit-broken", lambda done, total: steps.append((done, total)))
    own = [finding for finding in findings if finding.component == "encoder.broken" and finding.check != "import"]
    assert steps == [(0, len(own)), *((done, len(own)) for done in range(len(own)))]
