"""An exported network gives what its run gives, says what it lacks, and needs no torch."""

import ast
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import small_study
import tiny_study
import torch
from small_study import read_table
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.deployment.batches import stacked
from fusionkit.deployment.record import EXPORTED, ExportedInput
from fusionkit.deployment.tracing import DecodedNetwork, heads_of, inputs_of
from fusionkit.errors import GraphError, UserError

CORE = Path(fusionkit.__file__).parent


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A run with an optional input, and its export as ONNX."""
    folder = tmp_path_factory.mktemp("study")
    small_study.write_study(folder)
    small_study.train(folder, "--device", "cpu")
    fusionkit.export(folder / "run", folder / "exported", quiet=True)
    return folder


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A calibrated run whose method draws samples, exported as a program of torch."""
    folder = tmp_path_factory.mktemp("sampled")
    tiny_study.write_study(folder)
    small_study.train(folder)
    assert main(["calibrate", str(folder / "run"), "--uncertainty", "uncertainty.none"]) == 0
    fusionkit.export(folder / "run", folder / "exported", format="torch", quiet=True)
    return folder


def apart(one, other):
    """The largest difference of the numbers of two tables, which must else be equal."""
    largest = 0.0
    for left, right in zip(one, other, strict=True):
        assert left.keys() == right.keys()
        for key, value in left.items():
            if isinstance(value, float):
                largest = max(largest, abs(value - right[key]))
            else:
                assert value == right[key], key
    return largest


@pytest.mark.slow  # the exporter of ONNX takes ten seconds
def test_onnx_predicts_as_the_run_whatever_a_case_lacks(study):
    wanted = fusionkit.predict(study / "run", study / "data.yaml", quiet=True)
    found = fusionkit.predict(study / "exported", study / "data.yaml", output=study / "found.csv", quiet=True)
    assert apart(found.rows(), wanted.rows()) <= 1e-5
    assert found.trained_on == wanted.trained_on and len(found.trained_on) > 0
    assert [row["result:no"] for row in read_table(study / "found.csv")] == [row[2] for row in (
        [cell for name, cell in zip(found.table()[0], row, strict=True) if name in ("id", "result", "result:no")]
        for row in found.table()[1])]


@pytest.mark.slow
def test_a_case_alone_has_the_same_result_as_among_others(study):
    opened = fusionkit.predict(study / "exported", study / "data.yaml", quiet=True)
    rows = read_table(study / "cases.csv")
    lacking = next(place for place, row in enumerate(rows) if not row["d"])
    small_study.write_table(study / "one.csv", [rows[lacking]])
    (study / "one.yaml").write_text(small_study.DATA.replace("cases.csv", "one.csv"))
    alone = fusionkit.predict(study / "exported", study / "one.yaml", quiet=True)
    assert alone.results["result"].values[0] == pytest.approx(opened.results["result"].values[lacking], abs=1e-6)


@pytest.mark.slow
def test_the_record_states_form_masks_and_parity_but_no_id(study):
    record = json.loads((study / "exported" / EXPORTED).read_text())
    assert record["form"] == "onnx" and record["opset"] >= 18
    assert {item["name"]: item["mask"] for item in record["inputs"]} == {"lab": None, "scan": "cases"}
    assert record["parity"]["part"] == "test" and record["parity"]["values"]["result"] <= 1e-5
    assert len(record["seen"]["trained"]) == 44
    texts = [path.read_bytes() for path in (study / "exported").iterdir()]
    assert not any(b'"c17"' in text or str(CORE).encode() in text for text in texts)


def test_what_samples_give_is_not_exported_and_the_calibration_of_one_pass_is(sampled):
    record = json.loads((sampled / "exported" / EXPORTED).read_text())
    assert record["left_out"][0].startswith("uncertainty.mc_dropout: its samples")
    assert record["parity"]["method"]["result"] > record["parity"]["values"]["result"]
    wanted = fusionkit.predict(sampled / "run", sampled / "data.yaml", uncertainty="uncertainty.none", quiet=True)
    found = fusionkit.predict(sampled / "exported", sampled / "data.yaml", quiet=True)
    assert apart(found.rows(), wanted.rows()) <= 1e-5
    with zipfile.ZipFile(sampled / "exported" / "network.pt2") as archive:
        assert not [file.filename for file in archive.filelist if file.filename.endswith(".pt") and file.file_size]
        assert not any(str(CORE).encode() in archive.read(file) for file in archive.filelist)
    assert "result:yes:calibrated" in found.rows()[0] and "result:set" in found.rows()[0]


@pytest.mark.parametrize("asked", [{"samples": 3}, {"uncertainty": "uncertainty.none"}, {"tta": "rotate"}, {"fold": 0},
                                   {"device": "cuda"}])
def test_what_only_a_run_can_do_is_refused(sampled, asked):
    with pytest.raises(UserError) as caught:
        fusionkit.predict(sampled / "exported", sampled / "data.yaml", quiet=True, **asked)
    assert caught.value.diagnostics[0].code == "not-exported"


def test_a_folder_of_something_else_is_kept(sampled):
    with pytest.raises(GraphError) as caught:
        fusionkit.export(sampled / "run", sampled, format="torch", quiet=True)
    assert caught.value.diagnostics[0].code == "not-empty"


@pytest.mark.parametrize("change", [{"networks": ["../network.pt2"]}, {"heads": []}, {"fusionkit-exported": 2},
                                    {"networks": []}, {"folds": ["fold-0"]}, {"beside": ["../data.yaml"]}])
def test_a_changed_record_is_refused(sampled, tmp_path, change):
    record = json.loads((sampled / "exported" / EXPORTED).read_text())
    (tmp_path / EXPORTED).write_text(json.dumps(record | change))
    with pytest.raises(GraphError) as caught:
        fusionkit.predict(tmp_path, sampled / "data.yaml", quiet=True)
    assert caught.value.diagnostics[0].code == "unreadable-export"


def test_an_export_replaces_the_files_of_an_earlier_one_and_no_others(sampled, tmp_path):
    """A calibration of before would silently be applied to the results of a network that has none."""
    shutil.copytree(sampled / "exported", tmp_path / "exported")
    shutil.copytree(sampled / "run", tmp_path / "run")
    (tmp_path / "run" / "calibration.json").unlink()
    (tmp_path / "exported" / "predictions.csv").write_text("mine")
    fusionkit.export(tmp_path / "run", tmp_path / "exported", format="torch", quiet=True)
    assert {path.name for path in (tmp_path / "exported").iterdir()} == {
        "network.pt2", "exported.json", "data.yaml", "preprocessing.json", "predictions.csv"}
    assert {path.name for path in tmp_path.iterdir()} == {"exported", "run"}


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """A run of two folds on pictures and a table, of an ensemble of two networks, and its export with views."""
    folder = tmp_path_factory.mktemp("folds")
    rng = np.random.default_rng(5)
    rows = [{"id": f"c{case}", "a": f"{rng.normal(case % 2):.3f}", "b": f"{rng.normal(case % 3):.3f}",
             "result": ("no", "yes")[case % 2]} for case in range(12)]
    small_study.write_files(folder, rows, VIEWED, small_study.description(
        {"scan": '{read: numpy, path: "{id}.npy"}', "lab": "{read: columns, numeric: [a, b]}"}, {"result": "result"}
        ).replace("split: {column: split}", "split: {folds: 2}"))
    for row in rows:
        np.save(folder / f"{row['id']}.npy", rng.normal(size=(1, 7, 11)).astype(np.float32))
    small_study.train(folder)
    return folder


VIEWED = """\
fusionkit: 1
name: viewed
inputs: {scan: {image: [1, 7, 11]}, lab: {vector: [2]}}
nodes:
  seen: {use: encoder.flatten, from: scan}
  told: {use: encoder.mlp, from: lab, with: {width: 3, hidden: []}}
  both: {use: fusion.concat, from: [seen, told]}
  result: {use: head.classify, from: both, with: {classes: [no, yes]}}
uncertainty: {use: uncertainty.deep_ensemble, with: {members: 2}}
training: {epochs: 1, batch_size: 5, device: cpu, hold_out: 0, learning_rate: 0.1}
"""


def test_folds_ensembles_and_views_give_what_predict_gives(folds):
    """The mean over folds of the mean over views of the mean over networks."""
    made = fusionkit.export(folds / "run", folds / "exported", format="torch", tta="rotate,lr", quiet=True)
    assert made.record.folds == ("fold-0", "fold-1") and made.record.networks == ()
    assert made.record.parity.values["result"] <= 1e-5 and made.record.tta == ("rotate", "lr")
    wanted = fusionkit.predict(folds / "run", folds / "data.yaml", tta="rotate,lr", quiet=True)
    found = fusionkit.predict(folds / "exported", folds / "data.yaml", quiet=True)
    plain = fusionkit.predict(folds / "run", folds / "data.yaml", quiet=True)
    assert found.results["result"].values == pytest.approx(wanted.results["result"].values, abs=1e-5)
    assert abs(plain.results["result"].values - wanted.results["result"].values).max() > 1e-3
    assert found.results["result"].measures["view_spread"] == pytest.approx(
        wanted.results["result"].measures["view_spread"], abs=1e-5)
    assert found.trained_on == wanted.trained_on and len(found.trained_on) == 12
    with pytest.raises(UserError, match="not-exported"):
        fusionkit.predict(folds / "exported", folds / "data.yaml", quiet=True, tta="rotate")


@pytest.mark.slow
def test_one_fold_can_be_exported_alone(folds):
    made = fusionkit.export(folds / "run", folds / "alone", format="torch", fold=1, quiet=True)
    assert made.record.networks == ("network.pt2", "network-1.pt2") and made.record.folds == ()
    wanted = fusionkit.predict(folds / "run", folds / "data.yaml", fold=1, quiet=True)
    found = fusionkit.predict(folds / "alone", folds / "data.yaml", quiet=True)
    assert found.results["result"].values == pytest.approx(wanted.results["result"].values, abs=1e-5)
    assert found.trained_on == wanted.trained_on


def test_a_head_behind_optional_inputs_has_a_mask_though_all_is_there():
    """Where the CPU knows that nothing is absent a network drops its masks; the program keeps them."""
    model = fusionkit.build(fusionkit.plan({
        "fusionkit": 1, "name": "small", "inputs": {"lab": {"vector": [3], "optional": True}},
        "nodes": {"kind": {"use": "head.classify", "from": "lab", "with": {"classes": ["no", "yes"]}}}}))
    network = DecodedNetwork(model, inputs_of(model, set()))
    given = {"lab": torch.zeros(2, 3), "lab:mask": torch.ones(2, dtype=torch.bool)}
    assert [head.valid for head in heads_of([network], given)] == [True]


def test_tokens_are_padded_and_masked():
    from fusionkit.deployment.batches import ArrayCase

    items = [ExportedInput(name="notes", sizes=(None, 3), layout="tokens", masked=True, optional=True, mask="tokens")]
    cases = [ArrayCase({"notes": np.full((count, 3), count, np.float32)}, {"notes": count > 0}, {}) for count in (0, 5)]
    made = stacked(cases, items)
    assert made["notes"].shape == (2, 5, 3) and made["notes"][0].max() == 0
    assert made["notes:mask"].sum(1).tolist() == [0, 5]
    assert stacked(cases[:1], items)["notes"].shape == (1, 2, 3)


def test_onnx_runs_with_the_masks_that_it_takes(tmp_path):
    from onnx import TensorProto, helper, save

    from fusionkit.deployment.networks import opened_network
    from fusionkit.deployment.record import Exported, ExportedHead

    sizes = ["batch", 2]
    node = helper.make_node("Softmax", ["lab"], ["kind"], axis=1)
    graph = helper.make_graph([node], "small", [helper.make_tensor_value_info("lab", TensorProto.FLOAT, sizes)],
                              [helper.make_tensor_value_info("kind", TensorProto.FLOAT, sizes)])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "small.onnx")
    record = Exported(name="small", form="onnx", fusionkit="1", torch="2", opset=18, networks=("small.onnx",),
                      batch_size=5, inputs=(ExportedInput(name="lab", sizes=(2,), layout="vector"),),
                      heads=(ExportedHead(name="kind", task="multiclass", names=("no", "yes")),))
    given = {"lab": np.array([[0, 0], [0, np.log(3)], [1, 1]], np.float32), "lab:mask": np.ones(3, np.bool_)}
    found = opened_network(tmp_path / "small.onnx", record).run(given)
    np.testing.assert_allclose(found["kind"], [[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]], atol=1e-6)
    (tmp_path / "small.onnx").write_bytes(b"not a network")
    with pytest.raises(GraphError) as caught:
        opened_network(tmp_path / "small.onnx", record)
    assert caught.value.diagnostics[0].code == "unreadable-export"


def _read_at_import(path):
    """The modules that are imported with a module: not those in functions or for the type checker."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for part in tree.body:
        if isinstance(part, ast.Import):
            found += [alias.name for alias in part.names]
        elif isinstance(part, ast.ImportFrom) and part.module:
            found += [part.module, *(f"{part.module}.{alias.name}" for alias in part.names)]
    return found


def test_predicting_with_an_exported_network_imports_no_torch():
    waiting = ["fusionkit.cli.commands.predict", "fusionkit.interface.predict", "fusionkit.interface.exported"]
    seen = set()
    while waiting:
        name = waiting.pop()
        stem = CORE.joinpath(*name.split(".")[1:])
        path = stem.with_suffix(".py") if stem.with_suffix(".py").is_file() else stem / "__init__.py"
        if name in seen or not path.is_file():
            continue
        seen.add(name)
        read = _read_at_import(path)
        assert not {module.partition(".")[0] for module in read} & {"torch", "onnx", "onnxruntime"}, name
        waiting += [module for module in read if module.startswith("fusionkit.")]
    assert "fusionkit.data.dataset" in seen
