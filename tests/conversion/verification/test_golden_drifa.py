"""Every recorded case of DRIFA-Net's layers, computed again; the whole network against a second form of it in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drifa_network import network, write
from recorded import GOLDEN

import fusionkit
from fusionkit.conversion.convert import parts_of
from fusionkit.conversion.name_mapping import pairs
from fusionkit.conversion.verification import check
from fusionkit.errors import GraphError
from fusionkit.network.build import plan

FOLDER = GOLDEN / "drifa"
HEADS = str(Path(__file__).parents[2] / "golden" / "graphs" / "drifa-heads.yaml")
WIDTHS, CLASSES = (8, 16, 32, 64), (5, 7)
CASES: dict[str, str] = {
    "heads": HEADS,
    "mfa_u8": "encoder.mfa",
    "mfa_u8_wide": "encoder.mfa",
    "mifa_u8": "fusion.mifa",
    "mifa_u8_wide": "fusion.mifa",
    "mifa_u8_mixed_size": "fusion.mifa",
    "rra_s1": "encoder.rra",
    "rra_s1_proj": "encoder.rra",
    "rra_s1_train": "encoder.rra",
    "rra_s2_even": "encoder.rra",
    "rra_s2_odd": "encoder.rra",
    "stem": "encoder.drifa_stem",
}


@pytest.mark.parametrize("name", CASES)
def test_the_release_is_computed_again(name: str):
    found = check(CASES[name], FOLDER / f"{name}.npz")
    assert found.ok, [row for row in found.rows if not row.ok]
    left_out = {row.entry for row in found.rows if row.note}
    biased = {"after/bn1.moving_variance", "after/bn2.moving_variance"}
    assert left_out == (biased if name == "rra_s1_train" else set())


def test_every_file_is_compared():
    assert {path.stem for path in FOLDER.glob("*.npz")} == CASES.keys()


def test_of_the_heads_everything_is_compared():
    rows = check(HEADS, FOLDER / "heads.npz").rows
    assert [row.entry for row in rows] == ["pooled", "prob0", "prob1", "loss"]


def test_a_wrong_head_is_found_out(tmp_path: Path):
    with np.load(FOLDER / "heads.npz") as file:
        arrays = {name: file[name] for name in file.files}
    for entry, row in (("prob1", 1), ("loss", 2), ("pooled", 3)):
        changed = arrays[entry].copy()
        changed.flat[row] += 3e-5
        np.savez(tmp_path / "changed.npz", **{**arrays, entry: changed})
        found = check(HEADS, tmp_path / "changed.npz")
        assert [one.entry for one in found.rows if not one.ok] == [entry]


def test_the_whole_network_at_other_widths_sizes_and_classes(tmp_path: Path):
    results = write(tmp_path / "network.npz", WIDTHS, CLASSES, (37, 70))
    found = check("drifa-net", tmp_path / "network.npz")
    assert found.ok, [row for row in found.rows if not row.ok]
    assert {row.entry for row in found.rows if not row.note} == results.keys()


def test_the_widths_and_classes_follow_from_the_file(tmp_path: Path):
    write(tmp_path / "network.npz", (3, 5, 7, 2), (6, 3), (33, 33))
    assert check("drifa-net", tmp_path / "network.npz").ok


@pytest.mark.parametrize(("widths", "numbers"), [((64, 128, 256, 512), 53_884_868), (WIDTHS, 862_388)])
def test_the_network_has_as_many_numbers_as_the_release(widths: tuple[int, ...], numbers: int):
    blocks = (f"nodes.block{j}.{'chain.0.' if j < 7 else ''}with.width={widths[j // 2]}" for j in range(8))
    sets = [f"nodes.stem.with.width={widths[0]}", *blocks]
    assert sum(int(np.prod(shape)) for _, shape, _ in network(widths, CLASSES)) == numbers
    planned = plan("drifa-net", sets=sets)
    statistics = 2 * sum(value for name, shape, _ in network(widths, CLASSES) if name.endswith("moving_mean")
                         for value in shape)
    assert sum(node.cost.trainable for node in planned.nodes if node.cost) == numbers - statistics
    if widths[0] == 64:
        assert numbers - statistics == 53_865_668


def test_every_number_has_its_name_in_the_release():
    model = fusionkit.build("drifa-net", sets=[f"inputs.{name}.image=[3,64,64]" for name in ("cells", "lesion")])
    named = {theirs: ours for part in parts_of(model) for ours, theirs in pairs(part)
             if theirs and not ours.endswith((".weights", "num_batches_tracked"))}
    assert {ours for ours in model.state_dict() if not ours.endswith((".weights", "num_batches_tracked"))} == {
        *named.values()}
    assert named.keys() == {name for name, _, _ in network((64, 128, 256, 512), CLASSES)}


def test_a_graph_with_one_release_needs_no_name_and_with_a_wrong_one_is_refused():
    model = fusionkit.build(HEADS)
    assert [part.prefix for part in parts_of(model)] == [part.prefix for part in parts_of(model, "keras")]
    with pytest.raises(GraphError, match="no release 'kears'"):
        parts_of(model, "kears")
