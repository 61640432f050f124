"""`fusionkit plugins list`, `show` and `catalogue`: what they print, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from acme_packages import COMPONENT, HOOKS, Install, installing
from pydantic import Field

from fusionkit.api import Config, Fusion
from fusionkit.cli.commands import plugins_show
from fusionkit.cli.parser import main
from fusionkit.components.kinds import KIND_TABLE
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import to_plain
from fusionkit.testing.probing.examples import example_of

OURS = COMPONENT.format(name="acme", summary="Ours.")
ENTRY = "  encoder.acme: {at: acme_lungs.acme, summary: Ours., category: lungs}"
OTHERS = """
others:
  acme-more:
    versions: '>=0.2,<1'
    summary: More.
    link: https://acme.example
    provides: [fusion.acme]
"""
REFUSED = HOOKS + "@hookimpl\ndef fusionkit_contract():\n    return '>=7'\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    yield from installing(tmp_path, monkeypatch)


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    return captured.out + captured.err


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    return json.loads(said(capsys, *arguments, "--json", code=code))


def test_only_one_category(install: Install, capsys: pytest.CaptureFixture[str]):
    install("acme-lungs", catalogue=ENTRY)
    assert [entry["id"] for entry in told(capsys, "plugins", "list", "--category", "lungs")["components"]] == [
        "encoder.acme"]
    assert "did you mean 'lungs'?" in said(capsys, "plugins", "list", "--category", "lung", code=2)
    text = said(capsys, "plugins", "list", "--kind", "head", "--category", "lungs", code=2)
    assert "there is no category 'lungs' of kind 'head' [unknown-category]" in text


def test_packages_that_are_not_installed_are_listed_if_asked_for(install: Install, capsys: pytest.CaptureFixture[str]):
    install("acme-lungs", catalogue=ENTRY + OTHERS)
    assert "acme-more" not in said(capsys, "plugins", "list")
    text = said(capsys, "plugins", "list", "--all")
    assert "fusion.acme  More.    pip install 'acme-more>=0.2,<1'  https://acme.example" in text
    assert told(capsys, "plugins", "list", "--all", "--kind", "fusion")["not_installed"] == [
        {"package": "acme-more", "versions": ">=0.2,<1", "summary": "More.", "link": "https://acme.example",
         "provides": ["fusion.acme"], "install": "pip install 'acme-more>=0.2,<1'"}]
    assert told(capsys, "plugins", "list", "--all", "--kind", "head")["not_installed"] == []
    assert "not_installed" not in told(capsys, "plugins", "list")


def test_what_cannot_be_used_is_listed_with_what_to_do(install: Install, capsys: pytest.CaptureFixture[str]):
    install("acme-lungs", catalogue="  encoder.acme: {at: acme_lungs.acme, needs: ['pluggy>=99']}")
    install("acme-hearts", REFUSED, catalogue="  fusion.beat: {at: acme_hearts.beat}")
    install("acme-limbs", catalogue="  encoder.acme: {at: acme_limbs.acme}")
    for package in ("acme_lungs", "acme_limbs"):
        path = next(provider.graphs for provider in discover().providers if provider.name == package)
        (path / "best.yaml").touch()
    text = said(capsys, "plugins", "list")
    assert "encoder.acme cannot be used yet: pluggy>=99 is needed, " not in text, "another provider comes first"
    assert ("not in use: acme_hearts (acme-hearts 1.5, which has fusion.beat): written for contract >=7; this "
            "fusionkit offers 2.0\n  fix: pip install --upgrade fusionkit") in text
    assert "id claimed twice: encoder.acme: acme-limbs 1.5 and acme-lungs 1.5" in text
    assert "graph claimed twice: best: acme-limbs 1.5 and acme-lungs 1.5" in text
    (idle,) = told(capsys, "plugins", "list")["not_in_use"]
    assert (idle["package"], idle["components"]) == ("acme-hearts", ["fusion.beat"])


def test_a_component_whose_needs_are_missing_is_listed_with_them(install: Install, capsys: pytest.CaptureFixture[str]):
    install("acme-lungs", catalogue="  encoder.acme: {at: acme_lungs.acme, needs: ['pluggy>=99', acme-solver]}")
    text = said(capsys, "plugins", "list", "--kind", "encoder")
    assert "; acme-solver is not installed: pip install 'pluggy>=99' acme-solver" in text
    (entry,) = (entry for entry in told(capsys, "plugins", "list")["components"] if entry["id"] == "encoder.acme")
    assert entry["missing"] == ["pluggy>=99", "acme-solver"]


def test_the_catalogue_of_every_package_that_is_installed_from_its_sources(
        install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Without a name: what was installed with -e, and nothing else."""
    install("acme-lungs", catalogue="  {}" + OTHERS, acme=OURS)
    monkeypatch.setattr("fusionkit.testing.distributions._beside", lambda distribution: tmp_path / "nowhere")
    origin = tmp_path / "acme_lungs-1.5.dist-info" / "direct_url.json"
    origin.write_text(json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}}))
    monkeypatch.setattr("fusionkit.testing.distributions.editable_packages", lambda: ["acme-lungs"])
    stale = said(capsys, "plugins", "catalogue", code=1)
    assert "encoder.acme:" in stale and "is stale: write it with --write" in stale
    assert "registry.yaml: 1 component\n" in said(capsys, "plugins", "catalogue", "--write")
    assert "registry.yaml: 1 component, unchanged\n" in said(capsys, "plugins", "catalogue", "--write")
    (package,) = told(capsys, "plugins", "catalogue")["packages"]
    assert package["fresh"] and [other["package"] for other in package["others"]] == ["acme-more"]
    assert discover().load("encoder.acme").summary == "Ours."
    monkeypatch.setattr("fusionkit.testing.distributions.editable_packages", list)
    assert "pip install -e ." in said(capsys, "plugins", "catalogue", code=2)


def test_a_catalogue_whose_hand_written_part_is_damaged_is_not_written_over(install: Install, tmp_path: Path,
                                                                           capsys: pytest.CaptureFixture[str]):
    install("acme-lungs", catalogue="  {}" + OTHERS.replace("https", "http"), acme=OURS)
    before = (tmp_path / "acme_lungs" / "registry.yaml").read_text()
    assert "registry.yaml:9:11" in said(capsys, "plugins", "catalogue", "acme-lungs", "--write", code=2)
    assert (tmp_path / "acme_lungs" / "registry.yaml").read_text() == before


@pytest.mark.parametrize("name", discover().ids)
def test_what_is_shown_of_a_bundled_component_can_be_pasted(name: str, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]):
    shown = told(capsys, "plugins", "show", name)
    assert shown["example"]["problem"] == ""
    graph = to_plain(read(shown["graph"]))
    kind = KIND_TABLE[shown["kind"]]
    if kind.by_command or kind.by_head:
        assert shown["snippet"].startswith("fusionkit " if kind.by_command else "Head(")
        return
    if shown["snippet"].startswith("fusionkit evaluate RUN --metric"):
        assert shown["kind"] == "metric"
        return
    pasted = to_plain(read(shown["snippet"]))
    if kind.in_data:
        told_of = pasted[kind.setting]["scan"]
        assert name.partition(".")[2] in (told_of.get("read"), told_of.get("preset"), *told_of)
        return
    assert pasted.items() <= (graph if kind.setting else graph["nodes"]).items()
    path = tmp_path / "graph.yaml"
    path.write_text(shown["graph"])
    assert "good" in said(capsys, "check", str(path))


class OddConfig(Config):
    """Options."""

    width: int = Field(7, ge=2, lt=11, description="How wide.")
    mode: str = Field(description="Which.", examples=["plain"])


class Odd(torch.nn.Module):
    """Nothing of use."""

    def __init__(self, config: OddConfig, inputs: object) -> None:
        super().__init__()
        self.project = torch.nn.Linear(5, config.width)

    def forward(self, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        return self.project(first)


ODD = Fusion("odd", OddConfig, Odd, rule="first: B 5, *others: B _ -> B {width}", needs=("torch>=2",), claims=("onnx",),
             exceptions={"gradients: others*": "only the first counts"}, category="odd", paper="arXiv:1")


def test_a_page_has_everything():
    page = "\n".join(plugins_show._page(ODD, "acme 1.5", example_of(ODD)))
    for text in ("from      acme 1.5", "category  odd", "source    arXiv:1", "licence   Apache-2.0",
                 "needs     torch>=2", "rule      first: B 5, *others: B _ -> B {width}",
                 "absence   none: requires all its inputs",
                 "claims    onnx: it exports to ONNX", "gradients: others*\n      only the first counts",
                 "width (whole number from 2, below 11, default 7)\n      How wide.",
                 "mode (string, required)\n      Which.", "to (B 7): 42 parameters, 35 multiply-adds a case",
                 "use: fusion.odd", "from: [first, second, third]", "with: {mode: plain}"):
        assert text in page, page


def test_what_cannot_be_guessed_is_said():
    class Closed(Config):
        which: dict[str, int] = Field(description="Which.")

    example = example_of(Fusion("closed", Closed, Odd, rule="first: B 5, *others: B _ -> B 3"))
    assert "'which' is required" in example.problem
    assert "which: '...'" in example.snippet or "which: ..." in example.snippet
    page = "\n".join(plugins_show._page(example.component, "acme", example))
    assert "no example: the option 'which' is required and its type gives no example" in page
