"""Who is installed and what each brings, tried with packages that are really installed, in a folder of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from acme_packages import COMPONENT, HOOKS, Install, fault, installing, problem
from odd_components import COMPONENTS

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.errors import GraphError
from fusionkit.graph.builder import from_tree
from fusionkit.planning.open_graph import open_graph
from fusionkit.planning.resolve import resolve
from fusionkit.registry.lookup import DISABLE, discover
from fusionkit.syntax.reader import read


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    yield from installing(tmp_path, monkeypatch)


def test_the_bundled_plugins_come_in_by_the_same_door():
    registry = discover()
    assert registry.providers[0].name == "bundled"
    assert registry.providers[0].problem is None
    assert "encoder.mlp" in registry.ids and registry.ids == sorted(registry.ids)
    assert registry.load("encoder.mlp").id == "encoder.mlp"


def test_an_installed_package_is_found(install: Install):
    install("acme-lungs", catalogue="  encoder.acme: {at: acme_lungs.acme, summary: Ours.}",
            acme=COMPONENT.format(name="acme", summary="Ours."))
    registry = discover()
    assert "acme_lungs.acme" not in sys.modules, "finding a component imports it not"
    assert registry.load("encoder.acme").summary == "Ours."
    provider = registry.provider("encoder.acme")
    assert str(provider) == "acme-lungs 1.5"
    assert not registry.collisions


def test_a_package_publishes_graphs(install: Install, tmp_path: Path):
    install("acme-lungs", catalogue="  {}")
    (tmp_path / "acme_lungs" / "graphs" / "best-lung.yaml").write_text("fusionkit: 1\n")
    assert discover().graphs["best-lung"].name == "best-lung.yaml"


@pytest.mark.parametrize(("init", "says"), [
    ("import acme_is_nowhere", "ModuleNotFoundError: No module named 'acme_is_nowhere'"),
    ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    ("raise SystemExit(3)", "SystemExit: 3"),
    ("def broken(:", "SyntaxError"),
    ("", "it does not implement fusionkit_catalogue"),
    (HOOKS.replace("fusionkit_graphs", "fusionkit_grafs"), "fusionkit_grafs"),
    (HOOKS.replace("registry.yaml", "nowhere.yaml"), "unreadable-file"),
    ("from fusionkit.api import hookimpl\n@hookimpl\ndef fusionkit_catalogue():\n    return 7\n", "TypeError"),
])
def test_a_broken_package_is_a_line_in_the_list_and_harms_nobody(install: Install, init: str, says: str):
    install("acme-lungs", init)
    registry = discover()
    assert says in problem(registry, "acme_lungs")
    assert registry.load("encoder.mlp").id == "encoder.mlp"


def test_what_a_later_version_has_is_left_out_and_told(install: Install, capsys: pytest.CaptureFixture[str]):
    later = HOOKS + "@hookimpl\ndef fusionkit_widgets():\n    return 7\n"
    install("acme-lungs", later, catalogue="  encoder.acme: {at: acme_lungs.acme, summary: Ours., colour: red}\n"
            "  widget.acme: {at: acme_lungs.widget}", acme=COMPONENT.format(name="acme", summary="Ours."))
    registry = discover()
    assert registry.load("encoder.acme").summary == "Ours."
    assert "widget.acme" not in registry.ids
    notes = registry.provider("encoder.acme").notes
    assert notes == ("it implements the hook fusionkit_widgets, which this version does not know",
                     "entry 'encoder.acme' has no key 'colour'",
                     "'widget.acme' is of kind 'widget', which this version does not know")
    assert main(["plugins", "list"]) == 0
    assert "acme-lungs 1.5 is for a later version; used as far as this one knows it:" in capsys.readouterr().out


def test_a_broken_catalogue_is_told_with_its_place(install: Install):
    install("acme-lungs", catalogue="  encoder.acme: {att: acme_lungs.acme}")
    text = problem(discover(), "acme_lungs")
    assert "registry.yaml:4:18" in text and "did you mean 'at'?" in text


def test_an_unknown_id_says_which_packages_are_not_in_use(install: Install):
    install("acme-lungs", "raise RuntimeError('no licence')")
    found = fault(discover(), "encoder.acme")
    assert found.code == "unknown-component"
    assert found.why is not None and found.why.startswith("not in use: acme_lungs (RuntimeError: no licence")


def test_a_component_that_cannot_be_imported(install: Install):
    install("acme-lungs", catalogue="  encoder.acme: {at: acme_lungs.acme}", acme="import acme_is_nowhere\n")
    found = fault(discover(), "encoder.acme")
    assert found.code == "broken-plugin"
    assert found.message == "encoder.acme of acme-lungs 1.5 cannot be used"
    assert found.why is not None and "No module named 'acme_is_nowhere' (" in found.why
    assert found.why.endswith("acme.py:1)")
    assert found.fix is not None and f"{DISABLE}=acme_lungs" in found.fix


@pytest.mark.parametrize(("text", "says"), [
    (COMPONENT.format(name="other", summary="Ours."), "acme_lungs.acme contains encoder.other"),
    ("component = 7\n", "acme_lungs.acme contains int"),
    ("", "AttributeError"),
    ("raise SystemExit\n", "SystemExit"),
    ("from fusionkit.api import Config, Encoder\ncomponent = Encoder('acme', Config, Config, rule='B')\n",
     "ContractError: encoder.acme: expected an axis"),
])
def test_a_component_that_is_not_what_the_catalogue_says(install: Install, text: str, says: str):
    install("acme-lungs", catalogue="  encoder.acme: {at: acme_lungs.acme}", acme=text)
    found = fault(discover(), "encoder.acme")
    assert found.code == "broken-plugin" and found.why is not None and says in found.why


def test_the_cause_of_a_broken_plugin_is_kept_for_verbose(install: Install):
    install("acme-lungs", catalogue="  encoder.acme: {at: acme_lungs.acme}", acme="1 / 0\n")
    graph = from_tree(read("fusionkit: 1\ninputs: {x: {vector: [7]}}\nnodes:\n  a: {use: encoder.acme, from: x}\n"
                           "  out: {use: head.regress, from: a, with: {values: [mm]}}\n"))
    with pytest.raises(GraphError) as caught:
        resolve(graph, discover())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_two_providers_of_one_id_are_both_named(install: Install, monkeypatch: pytest.MonkeyPatch):
    for package in ("acme-lungs", "acme-hearts"):
        install(package, catalogue=f"  encoder.acme: {{at: {package.replace('-', '_')}.acme}}",
                acme=COMPONENT.format(name="acme", summary="Ours."))
    registry = discover()
    found = fault(registry, "encoder.acme")
    assert found.code == "two-providers"
    assert found.message == "encoder.acme is provided by acme-hearts 1.5 and acme-lungs 1.5"
    assert [str(provider) for provider in registry.collisions["encoder.acme"]] == ["acme-hearts 1.5", "acme-lungs 1.5"]
    assert found.fix == f"name the package: encoder.acme@acme-hearts; or turn one off: {DISABLE}=acme_lungs"
    assert registry.load("encoder.acme@acme-lungs").module.__module__ == "acme_lungs.acme"
    assert registry.load("encoder.acme@acme_hearts").module.__module__ == "acme_hearts.acme"
    assert fault(registry, "encoder.acme@acme-lung").message == "encoder.acme of 'acme-lung' is not installed"
    monkeypatch.setenv(DISABLE, "acme_lungs")
    assert discover().load("encoder.acme").id == "encoder.acme"


def test_a_bundled_id_is_not_overridden(install: Install):
    install("acme-lungs", catalogue="  encoder.mlp: {at: acme_lungs.acme}",
            acme=COMPONENT.format(name="mlp", summary="Ours."))
    registry = discover()
    assert [str(provider) for provider in registry.collisions["encoder.mlp"]][1:] == ["acme-lungs 1.5"]
    assert registry.load("encoder.mlp").summary != "Ours."
    assert str(registry.provider("encoder.mlp")) == str(registry.collisions["encoder.mlp"][0])
    assert registry.load("encoder.mlp@acme-lungs").summary == "Ours."
    assert registry.load("encoder.mlp@fusionkit").summary != "Ours."


def test_a_graph_names_the_package_of_a_component(install: Install, tmp_path: Path):
    install("acme-lungs", catalogue="  encoder.mlp: {at: acme_lungs.acme}",
            acme=COMPONENT.format(name="mlp", summary="Ours."))
    (tmp_path / "g.yaml").write_text(
        "fusionkit: 1\nname: g\ninputs: {x: {vector: [7]}}\nnodes:\n  a: {use: encoder.mlp@acme-lungs, from: x}\n"
        "  out: {use: head.regress, from: a, with: {values: [mm]}}\n")
    network = fusionkit.build(tmp_path / "g.yaml", output=tmp_path / "built")
    assert type(network.get_submodule("a")).__module__ == "acme_lungs.acme"
    assert "use: encoder.mlp@acme-lungs" in (tmp_path / "built" / "graph.yaml").read_text()
    assert type(fusionkit.load(tmp_path / "built").get_submodule("a")).__module__ == "acme_lungs.acme"


@pytest.mark.parametrize("names", ["acme_lungs", "acme-lungs", " other , acme-lungs,"])
def test_providers_are_turned_off_by_name(install: Install, monkeypatch: pytest.MonkeyPatch, names: str):
    install("acme-lungs", "raise AssertionError('imported although turned off')")
    monkeypatch.setenv(DISABLE, names)
    registry = discover()
    (provider,) = (provider for provider in registry.providers if provider.name == "acme_lungs")
    assert provider.disabled and provider.problem is None
    found = fault(registry, "encoder.acme")
    assert found.why == f"not in use: acme_lungs (turned off by {DISABLE})"


def test_entries_belong_to_the_package_that_is_installed(install: Install):
    """Also when its catalogue still has the name that it had before."""
    install("acme-lungs", catalogue="  encoder.acme: {at: acme_lungs.acme}")
    (entry,) = (entry for entry in discover().entries if entry.id == "encoder.acme")
    assert entry.package == "acme-lungs"


def test_two_packages_that_publish_one_graph_are_both_named(install: Install, tmp_path: Path):
    for package in ("acme_lungs", "acme_hearts"):
        install(package.replace("_", "-"), catalogue="  {}")
        (tmp_path / package / "graphs" / "best.yaml").write_text("fusionkit: 1\n")
    registry = discover()
    assert [provider.package for provider in registry.graph_collisions["best"]] == ["acme-hearts", "acme-lungs"]
    with pytest.raises(GraphError) as caught:
        open_graph("best", registry=registry)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("two-providers", "the graph 'best' is published by acme-hearts 1.5 and "
                                           "acme-lungs 1.5")
    assert found.fix is not None and str(tmp_path / "acme_lungs" / "graphs" / "best.yaml") in found.fix


@pytest.mark.parametrize(("name", "fix"), [
    ("encoder.mpl", "did you mean 'encoder.mlp'?"),
    ("fusion.mlp", "did you mean 'encoder.mlp'?"),
    ("encoder.xxlarge", "`fusionkit plugins list` shows the components of kind 'encoder'"),
])
def test_unknown_ids(name: str, fix: str):
    assert fault(discover(), name).fix == fix


def test_a_file_that_the_user_typed(install: Install, tmp_path: Path):
    path = tmp_path / "acme_file.py"
    path.write_text(COMPONENT.format(name="acme", summary="Ours."))
    registry = discover(files=[path])
    assert registry.load("encoder.acme").summary == "Ours."


@pytest.mark.parametrize(("text", "says"), [
    (None, "it is not a readable .py file"),
    ("x = 1\n", "it declares no component"),
    ("1 / 0\n", "ZeroDivisionError"),
    ("raise SystemExit(0)\n", "SystemExit"),
    ("def broken(:\n", "SyntaxError"),
])
def test_a_typed_file_that_fails_is_an_error(install: Install, tmp_path: Path, text: str | None, says: str):
    path = tmp_path / "acme_file.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(GraphError) as caught:
        discover(files=[path])
    (found,) = caught.value.diagnostics
    assert found.code == "broken-plugin" and found.why is not None and says in found.why


def test_a_typed_file_of_another_kind(tmp_path: Path):
    path = tmp_path / "plugin.txt"
    path.write_text("x = 1")
    with pytest.raises(GraphError, match=r"not a readable \.py file"):
        discover(files=[path])


def test_components_handed_over_from_python():
    registry = discover(components=COMPONENTS)
    assert all(registry.load(component.id) is component for component in COMPONENTS)
    assert registry.providers[-1].package == "components="


def test_resolving_tells_every_fault_and_the_packages_of_what_is_used():
    text = ("fusionkit: 1\ninputs: {{x: {{vector: [7]}}}}\nnodes:\n  a: {{use: encoder.mlp, from: x{0}}}\n"
            "  out: {{use: head.regress, from: a, with: {{{1}}}}}\n")
    resolved = resolve(from_tree(read(text.format("", "values: [mm]"))), discover())
    assert list(resolved.packages) == ["fusionkit"]
    assert [use.component.id for use in resolved.uses["a"]] == ["encoder.mlp"]
    with pytest.raises(GraphError) as caught:
        resolve(from_tree(read(text.format(", with: {width: x}", ""))), discover())
    assert [found.code for found in caught.value.diagnostics] == ["bad-option", "missing-option"]
