"""`registry.yaml`: fresh, complete, and refused with reasons when it is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionkit.catalogue import collect, read_catalogue, render
from fusionkit.errors import GraphError

ROOT = Path(__file__).parent.parent
CATALOGUE = ROOT / "registry.yaml"


def test_the_catalogue_is_fresh():
    entries = collect("fusionkit", "fusionkit_plugins")
    assert CATALOGUE.read_text(encoding="utf-8") == render("fusionkit", entries), (
        "write it again: fusionkit plugins catalogue --write")


def test_it_reads_back_what_was_collected():
    read = {entry.id: entry.as_json() for entry in read_catalogue(CATALOGUE)}
    assert read == {entry.id: entry.as_json() for entry in collect("fusionkit", "fusionkit_plugins")}


def test_the_id_is_the_path():
    for entry in read_catalogue(CATALOGUE):
        kind, _, name = entry.id.partition(".")
        room = kind if kind == "uncertainty" else f"{kind}s"
        assert entry.at == f"fusionkit_plugins.{room}.{name.replace('.', '_')}"
        assert (ROOT / "plugins" / room / f"{name.replace('.', '_')}.py").is_file()


def test_every_entry_says_what_it_is():
    for entry in read_catalogue(CATALOGUE):
        assert entry.summary.endswith("."), entry.id
        assert len(entry.summary) <= 120, entry.id
        assert entry.category and entry.licence, entry.id
        assert bool(entry.rule) == (entry.kind != "uncertainty"), entry.id


@pytest.mark.parametrize(("text", "codes"), [
    ("", ["wrong-type"]),
    ("package: acme\n", ["missing-key", "missing-key"]),
    ("fusionkit-catalogue: 2\npackage: acme\ncomponents: {}\n", ["wrong-version"]),
    ("fusionkit-catalogue: 1\npackage: acme\ncomponents: [encoder.a]\n", ["wrong-type"]),
    ("fusionkit-catalogue: 1\ncomponents: {encoder.a: {att: acme.a}, encoder.b: 7}\n", ["unknown-key", "wrong-type"]),
    ("fusionkit-catalogue: 1\ncomponents: {encoder.a: {at: 7}}\n", ["wrong-type"]),
    ("fusionkit-catalogue: 1\ncomponents: {encoder.a: {at: acme.a, needs: numpy}}\n", ["wrong-type"]),
])
def test_a_file_that_is_no_catalogue(tmp_path: Path, text: str, codes: list[str]):
    path = tmp_path / "registry.yaml"
    path.write_text(text)
    with pytest.raises(GraphError) as caught:
        read_catalogue(path)
    assert [found.code for found in caught.value.diagnostics] == codes


def test_an_entry_may_belong_to_another_package(tmp_path: Path):
    path = tmp_path / "registry.yaml"
    path.write_text("fusionkit-catalogue: 1\npackage: acme\ncomponents:\n"
                    "  encoder.a: {at: acme.a, needs: [numpy]}\n  encoder.b: {package: acme-more}\n")
    first, second = read_catalogue(path)
    assert (first.package, first.needs, first.kind) == ("acme", ("numpy",), "encoder")
    assert second.package == "acme-more"
