"""`plugins new` makes packages that work as they stand, and refuses names and folders that would not."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from made_packages import installed, write

import fusionkit
from fusionkit.cli.parser import main, parser
from fusionkit.components.kinds import KINDS
from fusionkit.errors import GraphError
from fusionkit.inference.sampler import Sampler
from fusionkit.network.build import plan
from fusionkit.registry.catalogue import read_catalogue
from fusionkit.registry.known_packages import KnownPackage
from fusionkit.registry.lookup import Provider, Registry, discover
from fusionkit.testing.conformance import Finding
from fusionkit.testing.packages.check import check_package
from fusionkit.testing.scaffold.generate import new_package, package_files

AWKWARD = ("tensor", "config", "f", "field", "a1-b2", "readout", "tests", "abcdefghij-abcdefghij-abcdefgh")


def ruff(*folders: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", *folders], capture_output=True,
                          text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict:
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_works_at_once(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "made"
    told = said(capsys, "plugins", "new", f"born-{kind}", "--kind", kind, "-o", str(folder))
    assert told["id"] == f"{kind}.born_{kind}"
    assert told["files"] == sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert ruff(folder) == ""
    with installed(folder):
        listed = said(capsys, "plugins", "list", "--kind", kind)
        assert told["id"] in [entry["id"] for entry in listed["components"]]
        assert f"born-{kind}" in listed["graphs"]
        assert said(capsys, "plugins", "catalogue", told["project"])["fresh"]
        findings = check_package(told["project"], components=False)
        assert [str(finding) for finding in findings if finding.result != "ok"] == []
        assert {finding.check for finding in findings} >= {"contract", "catalogue", f"graph born-{kind}", "import"}
        train_a_step(f"born-{kind}")


def train_a_step(graph: str) -> None:
    torch.manual_seed(0)
    network = fusionkit.build(graph)
    inputs = {"image": torch.randn(6, 1, 17, 19), "table": torch.randn(6, 7)}
    present = {"table": torch.tensor([True, False, True, True, False, True])}
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    outputs = network(inputs, present)
    sum(network.head(head.name).loss(outputs[head.name], torch.arange(6) % 2).mean()
        for head in network.plan.heads).backward()
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    assert [name for name, value in network.named_parameters() if torch.equal(value, before[name])] == []
    uncertainty = plan(graph, measured=False).uncertainty
    if uncertainty:
        run = Sampler(network.eval()).run(inputs, present, torch.no_grad)
        told = uncertainty.component.module(uncertainty.config).predict(run)["result"]
        assert told.values.shape == (6, 2)
        assert (told.measures["spread"] > 0).any()


@pytest.mark.slow  # over ten seconds: pip builds and installs a package, whose own tests are a process of their own
def test_its_own_tests_pass_and_pip_installs_it_whole(tmp_path: Path) -> None:
    """A real installation, offline, beside the checkout: the wheel has the catalogue and the graphs in it."""
    folder, site = tmp_path / "fusionkit-born-again", tmp_path / "site"
    new_package("born-again", "fusion", folder)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(Path(fusionkit.__file__).parents[1])])}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
           "--disable-pip-version-check", "--target", str(site), str(folder)]
    subprocess.run(pip, check=True, capture_output=True, env=environment)
    assert {path.name for path in (site / "fusionkit_born_again").iterdir()} >= {"registry.yaml", "graphs"}
    tests = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(tests, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d\d passed in ", done.stdout, re.M), done.stdout


def test_what_runs_on_every_push_exists() -> None:
    files = package_files("born-again", "fusion")
    workflow = yaml.safe_load(files[".github/workflows/test.yml"])
    job, = workflow["jobs"].values()
    python = job["steps"][1]["with"]["python-version"]
    assert python == "${{ matrix.python }}"
    commands = [shlex.split(step["run"]) for step in job["steps"] if "run" in step]
    assert [words[0] for words in commands] == ["pip", "ruff", "pytest", "fusionkit"]
    typed = commands[-1][1:]
    parsed = parser(typed).parse_args(typed)
    assert parsed.command_run.__module__.endswith(".plugins_check") and parsed.package == "fusionkit-born-again"


def test_a_name_that_a_catalogue_lists_or_a_graph_has_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Provider("acme", "acme", "1", others=(
        KnownPackage("acme-gates", ">=1", "Gates.", "https://acme.example", ("fusion.gate",)),
        KnownPackage("fusionkit-wide-gate", ">=1", "Gates.", "https://acme.example", ("fusion.wide_gate",))))
    monkeypatch.setattr("fusionkit.testing.scaffold.generate.discover",
                        lambda: Registry([*discover().providers, listed]))
    with pytest.raises(GraphError, match=r"fusion.gate is provided by acme-gates \[name-taken\]"):
        new_package("gate", "fusion", tmp_path / "made")
    with pytest.raises(GraphError, match=r"a graph 'late-fusion' is published \[name-taken\]"):
        new_package("late_fusion", "fusion", tmp_path / "made")
    new_package("wide-gate", "fusion", tmp_path / "made")


def test_awkward_names_make_clean_code(tmp_path: Path) -> None:
    folders = []
    for kind in KINDS:
        for name in AWKWARD:
            folder = write(tmp_path / kind / name, package_files(name, kind))
            module = name.replace("-", "_")
            entry, = read_catalogue(folder / f"fusionkit_{module}" / "registry.yaml").entries
            assert entry.at == f"fusionkit_{module}.{module}"
            folders.append(folder)
    assert ruff(*folders) == ""


@pytest.mark.parametrize(("name", "kind", "code", "words"), [
    ("My Fusion", "fusion", "bad-name", "write 'my-fusion'"),
    ("2d", "fusion", "bad-name", "'d'"),
    ("a--b", "fusion", "bad-name", "'a-b'"),
    ("", "fusion", "bad-name", "my-fusion"),
    ("../away", "fusion", "bad-name", "'away'"),
    ("fusionkit-gate", "fusion", "bad-name", "'gate'"),
    ("class", "head", "bad-name", "'class-head'"),
    ("a" * 31, "fusion", "bad-name", "at most 30"),
    ("gate", "tracker", "bad-name", "encoder, fusion, head"),
    ("gmu", "fusion", "name-taken", "another name"),
    ("plugins", "fusion", "name-taken", "another name"),
])
def test_names_that_cannot_be_are_refused(name: str, kind: str, code: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError) as error:
        new_package(name, kind, tmp_path / "made")
    found, = error.value.diagnostics
    assert found.code == code
    assert words in str(found.fix)
    assert not (tmp_path / "made").exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, folder, link, empty = (tmp_path / name for name in ("file", "folder", "link", "empty"))
    file.write_text("mine")
    write(folder, {"notes.txt": "mine"})
    link.symlink_to(tmp_path / "nowhere")
    for place in (file, folder, link):
        assert main(["plugins", "new", "gate", "-o", str(place)]) == 2
        assert "[bad-output]" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert file.read_text() == "mine"
    empty.mkdir()
    assert main(["plugins", "new", "gate", "-o", str(empty)]) == 0
    assert (empty / "pyproject.toml").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "folder", "link"]


def test_the_default_folder_is_named_after_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "new", "two_words", "--kind", "head"]) == 0
    text = capsys.readouterr().out
    assert "fusionkit plugins check fusionkit-two-words" in text
    assert "your method in fusionkit_two_words/two_words.py" in text
    assert "fusionkit plugins catalogue fusionkit-two-words --write" in text
    assert (tmp_path / "fusionkit-two-words" / "fusionkit_two_words" / "two_words.py").is_file()


def test_a_change_makes_the_catalogue_stale_and_write_mends_it(tmp_path: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    files = package_files("born-late", "encoder")
    path = "fusionkit_born_late/born_late.py"
    files[path] = files[path].replace("one learned layer", "a learned layer")
    with installed(write(tmp_path, files)):
        def catalogue() -> Finding:
            return next(f for f in check_package("fusionkit-born-late", components=False) if f.check == "catalogue")

        assert (catalogue().result, "stale" in catalogue().seen) == ("failed", True)
        assert catalogue().fix == "fusionkit plugins catalogue fusionkit-born-late --write"
        assert main(catalogue().fix.split()[1:]) == 0
        assert catalogue().result == "ok"
    capsys.readouterr()
