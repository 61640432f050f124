"""Whether volumes that are joined voxel by voxel lie on one grid, and which inputs these are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from recorded import GOLDEN

from fusionkit.data.case_files import Checked
from fusionkit.data.findings import Findings
from fusionkit.data.geometry.comparison import check_same_grid, voxels_apart
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.readers.facts import Facts
from fusionkit.planning.joined_inputs import joined_inputs
from fusionkit.planning.open_graph import open_graph
from fusionkit.planning.resolve import resolve_tree
from fusionkit.registry.lookup import discover

RECORDED = json.loads((GOLDEN / "images" / "geometry" / "expected.json").read_text(encoding="utf-8"))["grids"]
GRID = Grid(np.array(RECORDED["affine"]), tuple(RECORDED["shape"]))


def turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ GRID.affine


def changed(name: str) -> np.ndarray:
    """The other grid of a recorded pair."""
    affine = GRID.affine.copy()
    if name.startswith("shift"):
        affine[0, 3] += float(name.split()[1])
    elif name.startswith("rotate"):
        affine = turned(float(name.split()[1]))
    elif name.startswith("spacing"):
        affine[:3, :3] *= 1 + float(name.split()[1].strip("+")) / 100
    elif name == "float32":
        affine = (affine / 3).astype(np.float32).astype(np.float64) * 3
    elif name == "opposite x":
        affine[:3, 3] += affine[:3, 2] * (GRID.shape[2] - 1)
        affine[:3, 2] *= -1
    return affine


@pytest.mark.parametrize("name", RECORDED["pairs"])
def test_verdicts_are_as_recorded(name: str) -> None:
    other = Grid(changed(name), GRID.shape)
    checked = {(owner, 0): Checked((1, *GRID.shape), Facts(outcome_grid=grid))
               for owner, grid in (("ct", GRID), ("pet", other))}
    findings = Findings()
    check_same_grid({("ct", "pet"): None}, checked, ["c0"], findings)
    met = [f"{'refused' if kind == 'error' else 'warning'} {found.code}" for kind in ("error", "warning")
           for found in findings.of(kind)] or ["same"]
    assert met == [RECORDED["pairs"][name]["verdict"]]
    if name.startswith(("shift", "opposite")):
        assert voxels_apart(GRID, other) == pytest.approx(RECORDED["pairs"][name]["voxels"], rel=0.02)


def test_the_message_says_where_and_what_to_do() -> None:
    checked = {(owner, row): Checked((1, *GRID.shape), Facts(outcome_grid=grid)) for row in range(3)
               for owner, grid in (("ct", GRID), ("pet", Grid(turned(row * 2), GRID.shape)))}
    findings = Findings()
    check_same_grid({("ct", "pet"): None}, checked, ["a", "b", "c"], findings)
    (found,) = findings.of("error")
    assert "in 2 of 3 cases, most in 'c'" in found.message and "turned by 4 degrees" in str(found.why)
    assert found.fix == "write 'like: ct' on input 'pet', which resamples it onto that grid"


def test_volumes_without_a_place_are_joined_with_a_warning() -> None:
    checked = {(owner, 0): Checked((1, 2, 3, 4), Facts()) for owner in ("ct", "pet")}
    pictures = {(owner, 0): Checked((1, 3, 4), Facts()) for owner in ("ct", "pet")}
    findings = Findings()
    check_same_grid({("ct", "pet"): None}, checked, ["a"], findings)
    check_same_grid({("ct", "pet"): None}, pictures, ["a"], findings)
    assert [found.code for found in findings.of("warning")] == ["no-geometry"] and not findings.of("error")


GRAPH = """fusionkit: 1
name: joined
inputs:
  ct: {volume: [1, 8, 16, 16]}
  pet: {volume: [1, 8, 16, 16]}
  mr: {volume: [1, 8, 16, 16]}
  ehr: {vector: [4]}
nodes:
  early: {use: fusion.channel_concat, from: [ct, pet]}
  a: {use: encoder.conv, from: early}
  b: {use: encoder.conv, from: mr}
  both: {use: fusion.concat, from: [a, b, ehr]}
  out: {use: head.classify, from: both, with: {classes: [x, y]}}
"""


def test_the_rules_of_fusions_say_which_inputs_are_joined(tmp_path: Path) -> None:
    (tmp_path / "graph.yaml").write_text(GRAPH)
    registry = discover()
    resolved = resolve_tree(open_graph(tmp_path / "graph.yaml", (), registry), registry)
    met = joined_inputs(resolved.graph, {name: uses[0].component for name, uses in resolved.uses.items()})
    assert met == {"ct": {"pet"}, "pet": {"ct"}}
