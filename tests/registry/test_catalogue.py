"""`registry.yaml`: fresh, complete, and refused with reasons when it is not one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fusionkit.components.kinds import KIND_TABLE, NODE_KINDS
from fusionkit.errors import GraphError
from fusionkit.registry.catalogue import collect, kept_others, read_catalogue, render

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "registry.yaml"
ENTRIES = read_catalogue(CATALOGUE).entries


def test_the_catalogue_is_fresh():
    entries = collect("fusionkit", "fusionkit_plugins")
    others = kept_others(CATALOGUE, "fusionkit", {entry.id for entry in entries})
    assert CATALOGUE.read_text(encoding="utf-8") == render("fusionkit", entries, others), (
        "write it again: fusionkit plugins catalogue --write")


def test_it_reads_back_what_was_collected():
    read = {entry.id: entry.as_json() for entry in ENTRIES}
    assert read == {entry.id: entry.as_json() for entry in collect("fusionkit", "fusionkit_plugins")}


def test_it_is_complete_and_sorted():
    files = {path.stem for kind in KIND_TABLE.values()
             for path in (ROOT / "plugins" / kind.folder).glob("*.py")
             if re.search(r"^component = ", path.read_text(encoding="utf-8"), re.M)}
    assert {entry.at.rpartition(".")[2] for entry in ENTRIES} == files
    assert [entry.id for entry in ENTRIES] == sorted(entry.id for entry in ENTRIES)


def test_the_id_is_the_path():
    for entry in ENTRIES:
        kind, _, name = entry.id.partition(".")
        room = KIND_TABLE[kind].folder
        assert entry.at == f"fusionkit_plugins.{room}.{name.replace('.', '_')}"
        assert (ROOT / "plugins" / room / f"{name.replace('.', '_')}.py").is_file()


def test_every_entry_says_what_it_is():
    for entry in ENTRIES:
        assert entry.summary.endswith("."), entry.id
        assert len(entry.summary) <= 120, entry.id
        assert entry.category and entry.licence, entry.id
        assert bool(entry.rule) == (entry.kind in NODE_KINDS), entry.id


@pytest.mark.parametrize(("text", "codes"), [
    ("", ["wrong-type"]),
    ("package: acme\n", ["missing-key", "missing-key"]),
    ("fusionkit-catalogue: 2\npackage: acme\ncomponents: {}\n", ["wrong-version"]),
    ("fusionkit-catalogue: 1\npackage: acme\ncomponents: [encoder.a]\n", ["wrong-type"]),
    ("fusionkit-catalogue: 1\ncomponents: {encoder.a: {att: acme.a}, encoder.b: 7}\n", ["unknown-key", "wrong-type"]),
    ("fusionkit-catalogue: 1\ncomponents: {encoder.a: {at: 7}}\n", ["wrong-type"]),
    ("fusionkit-catalogue: 1\ncomponents: {encoder.a: {at: acme.a, needs: numpy}}\n", ["wrong-type"]),
    ("fusionkit-catalogue: 1\ncomponents: {encoder.a: {at: acme.a, needs: [a b, 7]}}\n", ["wrong-value"] * 2),
    ("fusionkit-catalogue: 1\ncomponents: {encoder.a: {package: acme}}\n", ["unknown-key"]),
])
def test_a_file_that_is_no_catalogue(tmp_path: Path, text: str, codes: list[str]):
    path = tmp_path / "registry.yaml"
    path.write_text(text)
    with pytest.raises(GraphError) as caught:
        read_catalogue(path)
    assert [found.code for found in caught.value.diagnostics] == codes


def test_needs_may_have_versions(tmp_path: Path):
    path = tmp_path / "registry.yaml"
    path.write_text("fusionkit-catalogue: 1\npackage: acme\ncomponents:\n"
                    "  encoder.a: {at: acme.a, needs: [numpy, 'einops>=0.8', 'x[y]~=1.2; python_version < \"4\"']}\n")
    (entry,) = read_catalogue(path).entries
    assert (entry.package, entry.kind) == ("acme", "encoder")
    assert entry.needs == ("numpy", "einops>=0.8", 'x[y]~=1.2; python_version < "4"')


OWN = "fusionkit-catalogue: 1\npackage: acme\ncomponents:\n  encoder.a:\n    at: acme.a\n"
GOOD = """\
others:
  zebra:
    versions: '>=0.2,<1'
    summary: Stripes for encoders.
    link: https://zebra.example/docs
    provides:
    - fusion.stripes
    - encoder.zebra
  Yak_Tools:
    versions: ==1.*
    summary: Yaks.
    link: https://yak.example
    provides: [head.yak.v2]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "registry.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_other_packages_are_read(tmp_path: Path):
    zebra, yak = read_catalogue(written(tmp_path, OWN + GOOD)).others
    assert (zebra.package, zebra.versions, zebra.provides) == ("zebra", ">=0.2,<1", ("fusion.stripes", "encoder.zebra"))
    assert zebra.install == "pip install 'zebra>=0.2,<1'"
    assert (yak.install, yak.link) == ("pip install 'Yak_Tools==1.*'", "https://yak.example")


def test_what_is_written_by_hand_survives_and_is_sorted(tmp_path: Path):
    catalogue = read_catalogue(written(tmp_path, OWN + GOOD))
    kept = kept_others(tmp_path / "registry.yaml", "acme", {"encoder.a"})
    assert kept == catalogue.others
    text = render("acme", catalogue.entries, kept)
    assert text.index("Yak_Tools:") < text.index("zebra:") and text.index("- encoder.zebra") < text.index("- fusion")
    again = read_catalogue(written(tmp_path, text))
    assert render("acme", again.entries, again.others) == text
    assert {other.package for other in again.others} == {"zebra", "Yak_Tools"}


@pytest.mark.parametrize(("text", "kept"), [
    (OWN.replace("encoder.a", "encoder a") + GOOD, True),
    (OWN.replace("at:", "att:") + GOOD, True),
    ("components: [", False),
    ("", None),
])
def test_a_damaged_rest_does_not_keep_it_from_being_written_anew(tmp_path: Path, text: str, kept: bool | None):
    path = written(tmp_path, text)
    if kept is None:
        path.unlink()
    assert len(kept_others(path, "acme", {"encoder.a"})) == (2 if kept else 0)


@pytest.mark.parametrize("text", [
    OWN + GOOD.replace("others:", "other:"),
    OWN + GOOD + "  ]",
    OWN + GOOD.replace("0.2,<1", "a"),
    OWN + GOOD.replace("encoder.zebra", "encoder.a"),
])
def test_nothing_written_by_hand_is_lost(tmp_path: Path, text: str):
    with pytest.raises(GraphError):
        kept_others(written(tmp_path, text), "acme", {"encoder.a"})


@pytest.mark.parametrize(("old", "new", "said"), [
    ("others:\n", "others: [7]\nrest:\n", "6:9: 'others' of a catalogue must be a mapping, not a list [wrong-type]"),
    ("  zebra:", "  zebra/:", "7:3: 'zebra/' is not the name of a package [bad-name]"),
    ("  zebra:", "  ACME:", "7:3: the package 'ACME' is already in this catalogue [name-taken]"),
    ("  zebra:", "  yak.tools:", "14:3: the package 'Yak_Tools' is already in this catalogue [name-taken]"),
    ("    versions: '>=0.2,<1'\n", "", "8:5: package 'zebra' needs the key 'versions' [missing-key]"),
    (">=0.2,<1", "0.2", "8:15: 'versions' of package 'zebra' is not a version range: '0.2' [wrong-value]"),
    ("'>=0.2,<1'", "''", "8:15: 'versions' of package 'zebra' is not a version range: '' [wrong-value]"),
    ("'>=0.2,<1'", "0.2", "8:15: 'versions' of package 'zebra' must be text, not 0.2 [wrong-type]"),
    ("encoders.", "encoders", "9:14: 'summary' of package 'zebra' is not a summary: 'Stripes for encoders' "
                              "[wrong-value]"),
    ("https://zebra", "http://zebra", "10:11: 'link' of package 'zebra' is not a link: 'http://zebra.example/docs' "
                                      "[wrong-value]"),
    ("link:", "links:", "10:5: package 'zebra' has no key 'links' [unknown-key]"),
    ("    provides:\n", "    provides: x\n    at:\n", "11:15: 'provides' of package 'zebra' must be a list of ids, not "
                                                     "'x' [wrong-type]"),
    ("[head.yak.v2]", "[]", "18:15: 'provides' of package 'Yak_Tools' must be a list of ids, not an empty one "
                            "[wrong-type]"),
    ("[head.yak.v2]", "[loss.yak, 7]", "18:16: 'loss.yak' is not the id of a component [bad-name]"),
    ("head.yak.v2", "encoder.a", "18:16: encoder.a is provided by acme [name-taken]"),
    ("head.yak.v2", "encoder.zebra", "18:16: encoder.zebra is provided by zebra [name-taken]"),
])
def test_what_is_wrong_with_another_package_is_told_at_its_place(tmp_path: Path, old: str, new: str, said: str):
    path = written(tmp_path, OWN + GOOD.replace(old, new, 1))
    with pytest.raises(GraphError) as caught:
        read_catalogue(path)
    assert f"{path}:{said}" in [found.render().splitlines()[0] for found in caught.value.diagnostics]
    assert all(found.fix for found in caught.value.diagnostics)


def test_a_component_that_does_not_import_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "acme_sad").mkdir()
    (tmp_path / "acme_sad" / "__init__.py").touch()
    (tmp_path / "acme_sad" / "deep.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(GraphError, match=r"acme_sad.deep cannot be imported \[broken-plugin\]\n.*ZeroDivisionError: "
                                         r"division by zero \(.*deep.py:1\)"):
        collect("acme-sad", "acme_sad")
