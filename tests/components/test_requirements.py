"""What packages are refused or missing for: the contract, the versions of what they need, where else an id is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from acme_packages import COMPONENT, HOOKS, Install, fault, installing, problem

from fusionkit.components.hooks import CONTRACT, CONTRACT_RANGE
from fusionkit.components.requirements import is_range, is_requirement
from fusionkit.errors import GraphError
from fusionkit.registry.lookup import DISABLE, discover

OURS = COMPONENT.format(name="acme", summary="Ours.")
OTHERS = """  {}
others:
  acme-more:
    versions: '>=0.2,<1'
    summary: More.
    link: https://acme.example
    provides: [encoder.acme_more, fusion.acme]
"""
INSTALL = "pip install 'acme-more>=0.2,<1'"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    yield from installing(tmp_path, monkeypatch)


def with_contract(stated: str) -> str:
    return f"{HOOKS}@hookimpl\ndef fusionkit_contract():\n    return {stated}\n"


@pytest.mark.parametrize(("stated", "why", "fix"), [
    ("'>=3,<4'", "written for contract >=3,<4; this fusionkit offers 2.0", "pip install --upgrade fusionkit"),
    ("'==2.7.*'", "written for contract ==2.7.*; this fusionkit offers 2.0", "pip install --upgrade fusionkit"),
    ("'<1'", "written for contract <1; this fusionkit offers 2.0",
     "pip install --upgrade acme-lungs, or ask its author for a version for contract 2.0"),
    ("'soon'", "its declared contract is not a version range: 'soon'",
     "ask the author of acme-lungs to write a range such as '>=2.0,<3'"),
    ("1.0", "its declared contract is not a version range: 1.0",
     "ask the author of acme-lungs to write a range such as '>=2.0,<3'"),
    ("''", "its declared contract is not a version range: ''",
     "ask the author of acme-lungs to write a range such as '>=2.0,<3'"),
])
def test_a_package_for_another_contract_is_refused(install: Install, stated: str, why: str, fix: str):
    install("acme-lungs", with_contract(stated), catalogue="  encoder.acme: {at: acme_lungs.acme}",
            acme="raise AssertionError('imported although refused')")
    registry = discover()
    assert problem(registry, "acme_lungs") == why
    assert "encoder.acme" not in registry.ids and not registry.graphs.keys() & {"best-lung"}
    found = fault(registry, "encoder.acme")
    assert (found.code, found.message) == ("wrong-contract", "encoder.acme of acme-lungs 1.5 cannot be used")
    assert (found.why, found.fix) == (why, fix)


@pytest.mark.parametrize("stated", ["'>=2.0,<3'", "'>=2'", "'>=1'", "'~=2.0'", "'==2.*'", "None"])
def test_a_package_for_this_contract_is_used(install: Install, stated: str):
    install("acme-lungs", with_contract(stated), catalogue="  encoder.acme: {at: acme_lungs.acme}",
            acme=OURS)
    assert discover().load("encoder.acme").id == "encoder.acme"


@pytest.mark.parametrize("stated", ["'>=1.0,<2'", "'~=1.0'", "'==1.*'", "'<2,>=0.9'"])
def test_a_package_for_the_former_contract_is_used(install: Install, stated: str):
    install("acme-lungs", with_contract(stated), catalogue="  encoder.acme: {at: acme_lungs.acme}", acme=OURS)
    registry = discover()
    assert registry.load("encoder.acme").id == "encoder.acme"
    (provider,) = (one for one in registry.providers if one.name == "acme_lungs")
    assert repr(provider.former) == stated and not provider.problem


FORMER = [  # what was declared for contract 1, and what is said of it now
    ('rule="B _ -> same"', '"B _ -> same", None, "skip", "flat"', "TypeError: Encoder.__init__() takes from 4 to"),
    ('component = Encoder("acme", Nothing, Module, rule="B _ -> same")',
     'from fusionkit.api import Head\ncomponent = Head("acme", Nothing, Module, rule="B _ -> same", '
     'task="multiclass", metrics=())', "declare each as a component of kind metric"),
    ("class Nothing", "from fusionkit.api import TensorShape\nSHAPE = TensorShape((7,))\nclass Nothing",
     "TypeError: "),
]


@pytest.mark.parametrize(("old", "new", "why"), FORMER, ids=["by position", "metrics", "shape"])
def test_what_the_former_contract_had_is_refused_with_the_page_of_changes(install: Install, tmp_path: Path, old: str,
                                                                          new: str, why: str):
    assert old in OURS
    id = "head.acme" if "Head" in new else "encoder.acme"
    install("acme-lungs", with_contract("'>=1.0,<2'"), catalogue=f"  {id}: {{at: acme_lungs.acme}}",
            acme=OURS.replace(old, new))
    path = tmp_path / "acme_file.py"
    path.write_text("CONTRACT = '>=1.0,<2'\n" + OURS.replace(old, new))
    with pytest.raises(GraphError) as caught:
        discover(files=[path])
    for found in (fault(discover(), id), *caught.value.diagnostics):
        assert found.code == "broken-plugin" and found.why and found.fix
        assert why in found.why and "written for contract >=1.0,<2, this fusionkit offers 2.0" in found.why
        assert found.fix.startswith("the page 'From contract 1 to contract 2' of the documentation says what to change")


def test_a_refused_package_whose_catalogue_is_of_another_time_is_refused_all_the_same(install: Install):
    install("acme-lungs", with_contract("'>=3'"), catalogue="  encoder.acme: {soon: 7}")
    assert problem(discover(), "acme_lungs").startswith("written for contract >=3")


def test_the_usual_range_holds_what_is_offered():
    """It is taken for right without being read."""
    from packaging.specifiers import SpecifierSet

    assert SpecifierSet(CONTRACT_RANGE).contains(CONTRACT)
    assert not SpecifierSet(CONTRACT_RANGE).contains("3.0")


@pytest.mark.parametrize(("stated", "why", "fix"), [
    (">=3", "written for contract >=3; this fusionkit offers 2.0", "pip install --upgrade fusionkit"),
    ("<1", "written for contract <1; this fusionkit offers 2.0",
     "make it work with contract 2.0, then declare '>=2.0,<3'"),
    ("?", "its declared contract is not a version range: '?'", "write a range such as '>=2.0,<3'"),
])
@pytest.mark.parametrize("rest", [OURS, "from fusionkit.api import Tomorrow\n"], ids=["sound", "failing"])
def test_a_file_for_another_contract_is_refused(install: Install, tmp_path: Path, rest: str, stated: str, why: str,
                                                fix: str):
    path = tmp_path / "acme_file.py"
    path.write_text(f"CONTRACT = {stated!r}\n{rest}")
    with pytest.raises(GraphError) as caught:
        discover(files=[path])
    (found,) = caught.value.diagnostics
    assert (found.code, found.why, found.fix) == ("wrong-contract", why, fix)
    path.write_text("CONTRACT = '>=2.0'\n" + OURS)
    assert discover(files=[path]).load("encoder.acme").id == "encoder.acme"


def test_a_component_says_which_packages_it_needs(install: Install):
    install("acme-lungs", catalogue="  encoder.acme: {at: acme_lungs.acme, needs: [acme-solver, torch]}")
    found = fault(discover(), "encoder.acme")
    assert (found.code, found.message) == ("missing-package", "encoder.acme needs acme-solver")
    assert (found.why, found.fix) == ("not installed here", "pip install acme-solver")


@pytest.mark.parametrize(("need", "why", "fix"), [
    ("acme-hearts>=2", "acme-hearts>=2 is needed, 1.5 is installed", "pip install 'acme-hearts>=2'"),
    ("acme-solver[fast]~=1.2", "not installed here", "pip install 'acme-solver[fast]~=1.2'"),
    ("acme-hearts<1; python_version > '3'", "acme-hearts<1 is needed, 1.5 is installed", "pip install 'acme-hearts<1'"),
])
def test_a_component_says_which_versions_it_needs(install: Install, need: str, why: str, fix: str):
    install("acme-hearts", catalogue="  {}")
    install("acme-lungs", catalogue=f'  encoder.acme: {{at: acme_lungs.acme, needs: [torch, "{need}"]}}')
    found = fault(discover(), "encoder.acme")
    assert (found.code, found.why, found.fix) == ("missing-package", why, fix)


@pytest.mark.parametrize("need", ["acme-hearts>=1.5", "Acme.Hearts", "acme-hearts==1.*",
                                  "acme-hearts>9; python_version < '3'"])
def test_needs_that_are_met_are_no_matter(install: Install, need: str):
    install("acme-hearts", catalogue="  {}")
    install("acme-lungs", catalogue=f'  encoder.acme: {{at: acme_lungs.acme, needs: ["{need}"]}}',
            acme=OURS)
    assert discover().load("encoder.acme").id == "encoder.acme"


def test_an_id_of_a_package_that_is_not_installed_says_what_to_install(install: Install):
    install("acme-lungs", catalogue=OTHERS)
    registry = discover()
    found = fault(registry, "encoder.acme_more")
    assert found.code == "not-installed" and found.message == "encoder.acme_more is not installed"
    assert (found.why, found.fix) == ("it comes with acme-more, https://acme.example", INSTALL)
    assert "encoder.acme_more" not in registry.ids
    assert [other.package for other in registry.others] == ["acme-more"]
    near = fault(registry, "encoder.acme_mroe")
    assert near.fix == f"did you mean 'encoder.acme_more'? It is not installed: {INSTALL}"


def test_an_id_of_a_package_that_is_installed_in_another_version(install: Install):
    install("acme-lungs", catalogue=OTHERS)
    install("acme-more", catalogue="  encoder.acme_more: {at: acme_more.acme}")
    registry = discover()
    assert registry.provider("encoder.acme_more") is not None and registry.others == []
    found = fault(registry, "fusion.acme")
    assert (found.code, found.message) == ("not-installed", "fusion.acme is not in acme-more 1.5, which is installed")
    assert (found.why, found.fix) == ("acme-more>=0.2,<1 has it", INSTALL)


def test_an_id_of_a_package_that_is_not_in_use(install: Install, monkeypatch: pytest.MonkeyPatch):
    install("acme-lungs", catalogue=OTHERS)
    install("acme-more", "raise RuntimeError('no licence')")
    found = fault(discover(), "fusion.acme")
    assert found.message == "fusion.acme is not in use"
    assert found.why is not None and found.why.startswith("it comes with acme-more 1.5: RuntimeError: no licence")
    assert found.fix == "`fusionkit plugins check acme-more` has details"
    monkeypatch.setenv(DISABLE, "acme-more")
    found = fault(discover(), "fusion.acme")
    assert (found.why, found.fix) == (f"it comes with acme-more 1.5: turned off by {DISABLE}", f"change {DISABLE}")


@pytest.mark.parametrize(("text", "good"), [
    (">=1.0,<2", True), (" >= 1 , < 2 ", True), ("~=1.4", True), ("==1.*", True), ("!=1.5", True), (">=1rc1", True),
    ("", False), ("1.0", False), (">=", False), (">=one", False), (">=1 <2", False), ("~=1", False), ("=>1", False)])
def test_ranges(text: str, good: bool):
    assert is_range(text) is good


@pytest.mark.parametrize(("text", "good"), [
    ("einops", True), ("a.b-c_d", True), ("einops>=0.8", True), ("x[y]>=1,<2; python_version>'3'", True),
    ("", False), ("a b", False), ("einops>0.8<1", False), ("x @ https://x.example/x.whl", False), ("-x", False)])
def test_requirements(text: str, good: bool):
    assert is_requirement(text) is good
