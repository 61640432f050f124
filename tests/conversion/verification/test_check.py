"""The golden runner: what it makes of a fixture, what it compares, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from golden_components import MASKED, NORMED, SCALED, normal, normed_case, sampled, save, scaled_case
from recorded import GOLDEN

from fusionkit.cli.commands.weights_verify import main
from fusionkit.conversion.verification import FixtureCheck, check
from fusionkit.conversion.verification.reading import read_fixture
from fusionkit.conversion.verification.tolerances import tolerance_of
from fusionkit.errors import UserError
from fusionkit.registry.lookup import discover

REGISTRY = discover(components=[SCALED, MASKED, NORMED])


def compared(path: Path, target: str = "encoder.scaled", **words: object) -> FixtureCheck:
    return check(target, path, registry=REGISTRY, **words)


def refused(path: Path, target: str = "encoder.scaled", **words: object) -> str:
    with pytest.raises(UserError) as caught:
        compared(path, target, **words)
    assert all(found.fix for found in caught.value.diagnostics)
    return str(caught.value)


def test_results_taps_and_gradients_are_computed_again(tmp_path: Path):
    found = compared(scaled_case(tmp_path / "a.npz"))
    assert found.ok and found.fixture == "scaled"
    assert [row.entry for row in found.rows] == ["tap_scaled_0", "tap_scaled_1", "out_y", "grad_input0"]
    assert all(row.error < 1e-6 and not row.note for row in found.rows)


@pytest.mark.parametrize("entry", ["tap_scaled_0", "tap_scaled_1", "out_y", "grad_input0"])
@pytest.mark.parametrize("by", [2e-4, float("nan")])
def test_one_wrong_number_is_found(tmp_path: Path, entry: str, by: float):
    path = scaled_case(tmp_path / "a.npz")
    with np.load(path) as file:
        wrong = file[entry].copy()
    wrong[2, 1] += by
    found = compared(scaled_case(path, also={entry: wrong}))
    assert [row.entry for row in found.rows if not row.ok] == [entry] and not found.ok


def test_inputs_that_are_not_stored_are_made(tmp_path: Path):
    assert compared(scaled_case(tmp_path / "a.npz", without=["input0"])).ok
    given = sampled("input0", normal("input0", 5, 4), 3)
    assert compared(scaled_case(tmp_path / "b.npz", without=["input0"], also=given)).ok
    given["input0__sample"] = given["input0__sample"] + 1
    changed = scaled_case(tmp_path / "c.npz", without=["input0"], also=given)
    assert "does not match the generation rule" in refused(changed)


@pytest.mark.parametrize(("part", "by", "failing"), [
    ("sample", 1e-3, "out_y"), ("sum", 1e-2, "out_y sums"), ("abssum", 1e-2, "out_y sums")])
def test_a_sample_and_the_sums_over_all_of_it(tmp_path: Path, part: str, by: float, failing: str):
    path = scaled_case(tmp_path / "a.npz")
    with np.load(path) as file:
        entries = sampled("out_y", file["out_y"], 3)
    assert compared(scaled_case(path, without=["out_y"], also=entries)).ok
    entries[f"out_y__{part}"] = entries[f"out_y__{part}"] + by
    found = compared(scaled_case(path, without=["out_y"], also=entries))
    assert [row.entry for row in found.rows if not row.ok] == [failing]


def test_parameters_that_do_not_correspond_are_named(tmp_path: Path):
    extra = {"other.weight": [[4, 4], "float32"]}
    assert "nothing here uses: other.weight" in refused(scaled_case(tmp_path / "a.npz", keys=extra))
    assert compared(scaled_case(tmp_path / "b.npz", keys=extra, said={"unused_key_prefixes": ["other."]})).ok
    assert compared(scaled_case(tmp_path / "c.npz", keys={"extra.w": [[3], "float32"], "n.num_batches_tracked": [
        [], "int64"]})).ok
    without = {"norm.weight": [[], "int64"]}
    assert "scale.by" not in refused(scaled_case(tmp_path / "d.npz", keys={"fc.weight": [[2, 3], "float32"]}))
    assert not compared(scaled_case(tmp_path / "e.npz", keys=without)).ok, "an integer stays as constructed"


def test_a_missing_parameter_is_named(tmp_path: Path):
    path = scaled_case(tmp_path / "a.npz")
    with np.load(path) as file:
        entries = {name: file[name] for name in file.files}
    state = json.loads(str(entries.pop("state")))
    del state["norm.weight"]
    np.savez(path, state=np.array(json.dumps(state)), **entries)
    assert "does not fill: scale.by (norm.weight)" in refused(path)


def test_options_come_from_the_file_and_by_hand(tmp_path: Path):
    path = scaled_case(tmp_path / "a.npz", width=5)
    assert compared(path).ok
    assert "fc.weight is [5, 4], linear.weight is [3, 4]" in refused(path, options=["width=3"])
    assert "has no option 'wdith'" in refused(path, options=["wdith=3"])
    assert "must be a whole number" in refused(path, options=["width=wide"])


def test_another_release_has_names_and_layouts_of_its_own(tmp_path: Path):
    path = scaled_case(tmp_path / "a.npz", width=4)
    assert compared(path).ok
    assert not compared(path, release="transposed").ok, "the layout turned the matrix"
    assert compared(path, release="unheard_of").ok, "an unknown name is taken for the authors' own"


def masked(path: Path, **changed: object) -> Path:
    pairs = [1, 0, 1, 0]
    first, second = normal("input0", 4, 3), normal("input1", 4, 3)
    total = first + second * np.array(pairs, dtype=np.float32)[:, None]
    meta = {"case": "masked", "inputs": [[4, 3], [4, 3]], "outputs": {"y": [4, 3]}, "pairs": pairs}
    return save(path, meta=meta, state={}, arrays={"input0": first, "input1": second, "out_y": total}, **changed)


def test_absent_inputs(tmp_path: Path):
    assert compared(masked(tmp_path / "a.npz"), "fusion.masked").ok
    assert not compared(masked(tmp_path / "b.npz", said={"pairs": [1, 1, 1, 1]}), "fusion.masked").ok


def test_a_replay_gives_the_results_and_may_use_the_rest(tmp_path: Path):
    total = normal("input0", 4, 3) + normal("input1", 4, 3)
    head = normal("head.weight", 2, 3) / np.float32(np.sqrt(3))
    arrays = {"out_twice": 2 * total, "out_rest": total @ head.T,
              "grad_input1": 2 * normal("cotangent0", 4, 3) + normal("cotangent1", 4, 2) @ head}
    meta = {"inputs": [[4, 3], [4, 3]], "outputs": {"twice": [4, 3], "rest": [4, 2]}}
    state = {"head.weight": [[2, 3], "float32"]}
    path = save(tmp_path / "b.npz", meta=meta, state=state, arrays=arrays)
    found = compared(path, "fusion.masked", release="replayed")
    assert found.ok and len(found.rows) == 3 and found.fixture == "b"
    assert "nothing here uses: head.weight" in refused(path, "fusion.masked")
    no_state = save(tmp_path / "c.npz", meta=meta, state=None, arrays=arrays)
    assert "KeyError: 'head.weight'" in refused(no_state, "fusion.masked", release="replayed")


def test_what_cannot_be_compared_is_said_and_counts_for_nothing(tmp_path: Path):
    path = scaled_case(tmp_path / "a.npz", also={"tap_inner": np.zeros((5, 4), np.float32),
                                                 "out_coef32": np.zeros(3, np.float32)})
    rows = {row.entry: row for row in compared(path).rows}
    assert rows["tap_inner"].note and rows["tap_inner"].ok
    assert not rows["out_coef32"].ok, "a result that is not given is wrong"
    path = scaled_case(path, also={"out_y64": np.zeros(3), "out_y32": np.zeros(3, np.float32)})
    rows = {row.entry: row for row in compared(path).rows}
    assert rows["out_y32"].note and not rows["out_y64"].ok


@pytest.mark.parametrize(("name", "results"), [
    ("bfpu3d_16", 3e-5), ("bfpu3d_16_same_size", 3e-5), ("multiscale_fusion_24", 3e-5), ("cab_32", 1e-5),
    ("dcfb_16_16_serial", 1e-5), ("penet_decoder", 1e-5), ("penet50_12x64x64", 1e-4),
    ("penet_classifier50_12x64x64", 1e-4), ("img_encoder_12x64x64", 1e-4), ("kan_7_24", 1e-5), ("focal_loss", 1e-5)])
def test_the_tolerance_is_that_of_the_fixtures_page(name: str, results: float):
    found = tolerance_of(read_fixture(GOLDEN / "mmcaf" / f"{name}.npz"))
    assert found.results == pytest.approx(results, rel=0.01) and found.gradients == 1e-4


def test_float64_results_are_held_to_a_tighter_bound():
    folder = GOLDEN / "mmcaf"
    assert tolerance_of(read_fixture(folder / "kan_coef_fit.npz")).exact == 1e-6
    assert tolerance_of(read_fixture(folder / "kan_grid_update.npz")).exact == 1e-4


def test_the_second_form_has_channels_last_and_gradients_of_weights(tmp_path: Path):
    found = compared(normed_case(tmp_path / "a.npz"), "encoder.normed")
    assert found.ok, found.rows
    assert [row.entry for row in found.rows] == ["output0", "grad/input0", "grad/conv.kernel", "grad/bn.beta"]


def test_the_second_form_in_training_mode(tmp_path: Path):
    found = compared(normed_case(tmp_path / "a.npz", training=True), "encoder.normed")
    notes = {row.entry: row.note for row in found.rows}
    assert found.ok and notes["after/bn.moving_variance"] and not notes["after_unbiased/bn.moving_variance"]


def test_weights_of_another_rule_are_found_out(tmp_path: Path):
    path = normed_case(tmp_path / "a.npz")
    with np.load(path) as file:
        entries = {name: file[name] for name in file.files}
    weights = json.loads(str(entries.pop("weights")))
    weights[2]["sum"] += 1
    np.savez(path, weights=np.array(json.dumps(weights)), **entries)
    assert "bn.gamma does not match the generation rule" in refused(path, "encoder.normed")


@pytest.mark.parametrize("content", [b"no archive", None, {"a": np.zeros(3)}, {"meta": np.array("no json")}])
def test_files_that_are_no_fixtures(tmp_path: Path, content: object):
    path = tmp_path / "a.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    assert "is not a fixture" in refused(path)


def test_a_component_that_is_no_match(tmp_path: Path):
    path = scaled_case(tmp_path / "a.npz")
    assert "declares no release" in refused(path, "encoder.mlp")
    assert "cannot read the fixture's inputs" in refused(path, "encoder.normed")
    assert "is it a fixture of this component?" in refused(masked(tmp_path / "m.npz", without=["input1"]))


FOLDER = GOLDEN / "mmcaf"


def test_exit_codes_and_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["encoder.se", str(FOLDER / "se_32.npz")]) == 0
    assert "encoder.se reproduces se_32" in capsys.readouterr().out
    with np.load(FOLDER / "se_32.npz") as file:
        entries = {name: file[name] for name in file.files}
    # Off by more than any processor's rounding: that of this one may be nothing at all.
    entries["out_output0"] = entries["out_output0"] * np.float32(1.001)
    np.savez(tmp_path / "off.npz", **entries)
    assert main(["encoder.se", str(tmp_path / "off.npz")]) == 1
    assert "WRONG" in capsys.readouterr().out
    assert main(["encoder.se", str(tmp_path / "off.npz"), "--tolerance", "1e-2"]) == 0
    assert "encoder.se reproduces" in capsys.readouterr().out
    assert main(["encoder.se", "nowhere.npz"]) == 2
    assert "is not a fixture" in capsys.readouterr().err
    assert main(["encoder.se", str(FOLDER / "se_32.npz"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and {row["entry"] for row in told["rows"]} == {"out_output0", "grad_input0"}


def test_a_graph_is_compared_as_its_reference_says(tmp_path: Path):
    graph = tmp_path / "graph.yaml"
    graph.write_text("""
fusionkit: 1
inputs: {table: {vector: [9]}}
nodes:
  told: {use: encoder.scaled, from: table}
  grade: {use: head.classify, from: told, with: {classes: [low, high]}}
reference: {release: {told: "", grade: head}, other: {told: net}}
""")
    path = scaled_case(tmp_path / "a.npz", width=5)
    with np.load(path) as file:
        entries = {name: file[name] for name in file.files if not name.startswith(("grad", "meta", "state"))}
    weight, bias = normal("head.weight", 1, 5) / np.float32(np.sqrt(5)), 0.1 * normal("head.bias", 1)
    logit = entries["out_y"] @ weight.T + bias
    changed = {"without": ["grad_input0", "out_y"], "said": {"outputs": {"logit": [5, 1]}},
               "also": {"out_logit": logit},
               "keys": {"head.weight": [[1, 5], "float32"], "head.bias": [[1], "float32"]}}
    found = compared(scaled_case(path, width=5, **changed), str(graph))
    assert found.ok and {row.entry for row in found.rows} == {"tap_scaled_0", "tap_scaled_1", "out_logit"}
    assert "nothing here uses: head" in refused(path, str(graph), options=["reference.release={told: ''}"])
    assert "has no release 'mine'" in refused(path, str(graph), release="mine")
