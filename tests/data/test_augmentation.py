"""The section `augment` of a data file: what it means, and how training uses it and nothing else does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from small_study import read_table, train, write_files
from small_study import without_plots as without_plots

from fusionkit.data.augmentation import Augmentation
from fusionkit.data.batch import collate
from fusionkit.data.description import describe
from fusionkit.errors import DataError
from fusionkit.syntax.writer import write

TOP = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs:
  ct: {read: numpy, path: "{id}.npy"}
  pet: {read: numpy, path: "{id}.npy"}
  lab: {read: columns, numeric: [a]}
targets: {result: {column: result}}
"""


def read(folder: Path, section: str) -> Augmentation | None:
    (folder / "data.yaml").write_text(TOP + section)
    return describe(folder / "data.yaml").augmentation


def test_without_the_section_nothing_is_changed(tmp_path: Path) -> None:
    assert read(tmp_path, "") is None


def test_a_preset_and_what_is_written_beside_it(tmp_path: Path) -> None:
    made = read(tmp_path, """\
augment:
  ct: {preset: ct, rotate: [20, 0, 0], elastic: off, noise: {chance: 0.5}, speckle: true}
  pet: {noise: [0.0, 0.02], chance: 0.25}
""")
    ct = {chosen.declared.name: chosen.config.model_dump() for chosen in made.inputs["ct"]}
    assert list(ct) == ["rotate", "zoom", "shift", "brightness", "gamma", "low_resolution", "blur", "noise", "speckle"]
    assert ct["rotate"] == {"chance": 0.5, "degrees": [20.0, 0.0, 0.0], "whole": False}
    assert ct["noise"] == {"chance": 0.5, "sd": [0.0, 0.05]} and ct["speckle"] == {"chance": 1.0, "sd": 0.1}
    noise, = made.inputs["pet"]
    assert noise.config.model_dump() == {"chance": 0.25, "sd": [0.0, 0.02]}


def test_strength_scales_degrees_and_logarithms(tmp_path: Path) -> None:
    made = read(tmp_path, "augment: {ct: {preset: ct, strength: 0.5}}\n")
    ct = {chosen.declared.name: chosen.config.model_dump() for chosen in made.inputs["ct"]}
    assert ct["rotate"]["degrees"] == [7.5, 2.5, 2.5]
    assert ct["zoom"]["factor"] == pytest.approx([0.85 ** 0.5, 1.2 ** 0.5])


def test_what_a_run_records_reads_as_the_same(tmp_path: Path) -> None:
    made = read(tmp_path, "augment: {together: [[ct, pet]], ct: ct, pet: pet}\n")
    again = read(tmp_path, write({"augment": made.to_plain()}))
    assert again.to_plain() == made.to_plain() and again.together == (("ct", "pet"),)
    assert [chosen.declared.name for chosen in made.moving(made.group("pet"))] == ["rotate", "zoom", "shift", "elastic"]


@pytest.mark.parametrize(("section", "line", "said"), [
    ("augment: {cd: ct}", 10, "'augment' names 'cd', which is no input"),
    ("augment: {lab: ct}", 10, "is read from columns"),
    ("augment: {ct: {jitter: 0.1}}", 10, "'ct' is read from files"),
    ("augment: {together: [[ct, lab]]}", 10, "'together' names 'lab'"),
    ("augment: [ct]", 10, "must be a mapping from input to transforms"),
    ("augment: {ct: 3}", 10, "must name transforms or a preset"),
    ("augment: {ct: pett}", 10, "there is no component 'transform.pett'"),
    ("augment: {ct: noise}", 10, "transform.noise is no preset"),
    ("augment:\n  ct: {ct: true}", 11, "transform.ct is a preset"),
    ("augment:\n  ct:\n    noise: {sd: [0.2, 0.1]}", 12, "the smaller number comes first"),
    ("augment:\n  ct:\n    noise: {loud: 1}", 12, "has no option 'loud'"),
    ("augment:\n  ct: {preset: ct, strength: 5}", 11, "less than or equal to 2"),
    ("augment:\n  ct: {noise: {}, chance: 2}", 11, "less than or equal to 1"),
    ("augment: {together: [ct, pet]}", 10, "must be a list of lists"),
    ("augment: {together: [[ct, pat]]}", 10, "names 'pat'"),
    ("augment: {together: [[ct, pet], [pet, ct]]}", 10, "has 'pet' twice"),
    ("augment: {together: [[ct, pet]], ct: {rotate: true}, pet: {zoom: true}}", 10, "by different transforms"),
])
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, section: str, line: int, said: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, section + "\n")
    assert said in str(caught.value)
    assert caught.value.diagnostics[0].span.line == line


GRAPH = """\
fusionkit: 1
name: seen
inputs: {scan: {volume: [1, 3, 5, 7]}}
nodes:
  seen: {use: encoder.conv, from: scan, with: {widths: [3], output: pooled, norm: group}}
  result: {use: head.classify, from: seen, with: {classes: ["no", "yes"]}}
training: {epochs: 3, batch_size: 4, learning_rate: 0.01, device: cpu, checkpoint_steps: 1, schedule: constant}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs: {scan: {read: numpy, path: "{id}.npy"}}
targets: {result: {column: result}}
"""
AUGMENT = "augment: {scan: {rotate: [30, 0, 0], noise: [0.0, 0.5]}}\n"


def study(folder: Path, section: str) -> Path:
    write_files(folder, _cases(folder), GRAPH, DATA + section)
    return folder


def _cases(folder: Path) -> Iterator[dict[str, str]]:
    rng = np.random.default_rng(3)
    for case in range(24):
        np.save(folder / f"c{case}.npy", rng.normal(case % 2, 1, (1, 3, 5, 7)).astype(np.float32))
        yield {"id": f"c{case}", "result": ("no", "yes")[case % 2],
               "split": ("train", "train", "validation", "test")[case // 2 % 4]}


def test_training_alone_sees_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = train(study(tmp_path / "plain", ""), "--learning-rate", "1e-30")
    capsys.readouterr()
    changed = train(study(tmp_path / "changed", AUGMENT), "--learning-rate", "1e-30")
    said = capsys.readouterr().out
    assert "augment scan: rotate 30/0/0, noise 0..0.5; a voxel counts as 1 mm" in said
    # The weights hardly move, so that results differ only where the cases do.
    assert (plain / "predictions.csv").read_text() == (changed / "predictions.csv").read_text()
    before, after = (read_table(run / "history.csv") for run in (plain, changed))
    assert [row["validation_loss"] for row in before] == [row["validation_loss"] for row in after]
    assert all(one["train_loss"] != other["train_loss"] for one, other in zip(before, after, strict=True))
    assert len({row["train_loss"] for row in after}) == 3


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on forking with threads
def test_a_run_resumed_within_an_epoch_with_other_processes_ends_as_one_that_is_not(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusionkit.cli.parser import main

    mixed = AUGMENT.replace("augment: {", "augment: {mixup: true, ")
    whole = train(study(tmp_path / "whole", mixed), "--workers", "0", "--epochs", "2")
    folder = study(tmp_path / "parts", mixed)
    seen: list[int] = []

    def interrupt(*told: object) -> None:
        seen.append(1)
        if len(seen) == 4:  # of the second epoch the first of three steps
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr("fusionkit.runs.train.over_epochs", lambda update, epochs: interrupt)
        assert main(["train", str(folder / "graph.yaml"), str(folder / "data.yaml"), "-o", str(folder / "run"),
                     "--workers", "2", "--epochs", "2"]) == 1
    parts = train(folder, "--workers", "0", "--augment-on", "device", "--epochs", "2", "--resume")
    assert len(seen) == 4
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()


def test_resuming_with_other_changes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fusionkit.cli.parser import main

    run = train(study(tmp_path, AUGMENT), "--epochs", "1")
    (tmp_path / "data.yaml").write_text(DATA)
    assert main(["train", str(tmp_path / "graph.yaml"), str(tmp_path / "data.yaml"), "-o", str(run), "--epochs", "3",
                 "--resume"]) == 2
    assert "'augment' was" in capsys.readouterr().err


def test_inputs_that_move_together_have_one_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fusionkit.cli.parser import main

    study(tmp_path, "augment: {together: [[scan, other]], scan: {rotate: true}}\n")
    table = tmp_path / "data.yaml"
    table.write_text(table.read_text().replace(
        'inputs: {', 'inputs: {other: {read: numpy, path: "other {id}.npy"}, '))
    for case in range(24):
        np.save(tmp_path / f"other c{case}.npy", np.zeros((1, 3, 5, 8), np.float32) + case)
    (tmp_path / "graph.yaml").write_text(GRAPH.replace("inputs: {", "inputs: {other: {volume: [1, 3, 5, 8]}, ").replace(
        "nodes:", "nodes:\n  second: {use: encoder.conv, from: other, with: {widths: [3], output: pooled}}"
        "\n  both: {use: fusion.sum, from: [seen, second]}").replace("from: seen", "from: both"))
    assert main(["check", str(tmp_path / "graph.yaml"), str(table)]) == 2
    said = capsys.readouterr().err
    assert "'scan' and 'other' of case 'c0' are 3 x 5 x 7 and 3 x 5 x 8 [grids-differ]" in said


@pytest.mark.parametrize(("make", "graph", "section", "said"), [
    (lambda case: np.full((2 + case % 3, 1, 5, 7), case, np.float32), "items: {image: [1, 5, 7]}",
     "augment: {scan: {noise: true}}", "'augment' names 'scan', which has several tokens or items for a case"),
    (lambda case: np.full(7, case, np.float32), "vector: [7]", "augment: {scan: {noise: true}}",
     "'augment' names 'scan', which has arrays of 1 axes"),
    (lambda case: np.kron(np.arange(6).reshape(2, 3), np.ones((13, 17)))[None].astype(np.float32) * (case + 1 > 0),
     "image: [1, 26, 51]", "augment: {scan: {rotate: true, noise: true}}", "seem to hold labels [label-map-changed]"),
])
def test_what_cannot_be_changed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                           make: Callable[[int], np.ndarray], graph: str, section: str, said: str
                                           ) -> None:
    from fusionkit.cli.parser import main

    study(tmp_path, section + "\n")
    for case in range(24):
        np.save(tmp_path / f"c{case}.npy", make(case))
    (tmp_path / "graph.yaml").write_text(GRAPH.replace("volume: [1, 3, 5, 7]", graph))
    assert main(["build", str(tmp_path / "graph.yaml"), "--data", str(tmp_path / "data.yaml")]) == 2
    assert said in capsys.readouterr().err


def test_a_mask_moves_with_its_image_and_stays_a_mask(tmp_path: Path) -> None:
    """A mask beside its image is accepted, and is moved by label, however its reader was told of it."""
    from fusionkit.runs.setup import set_up
    from fusionkit.training.augmented import Augmented

    study(tmp_path, "augment: {together: [[scan, mask]], scan: {rotate: [40, 0, 0], noise: true}}\n")
    place = tmp_path / "data.yaml"
    place.write_text(place.read_text().replace("inputs: {", 'inputs: {mask: {read: numpy, path: "m{id}.npy"}, '))
    for case in range(24):
        np.save(tmp_path / f"mc{case}.npy", np.pad(np.ones((1, 1, 3, 2 + case % 3), np.float32),
                                                  ((0, 0), (1, 1), (2, 1), (1, 4 - case % 3))))
    second = ("nodes:\n  second: {use: encoder.conv, from: mask, with: {widths: [3], output: pooled}}"
              "\n  both: {use: fusion.sum, from: [seen, second]}")
    (tmp_path / "graph.yaml").write_text(
        GRAPH.replace("inputs: {", "inputs: {mask: {volume: [1, 3, 6, 7]}, ").replace("nodes:", second).replace(
            "from: seen", "from: both").replace("5, 7", "6, 7"))
    for case in range(24):
        np.save(tmp_path / f"c{case}.npy", np.random.default_rng(case).normal(size=(1, 3, 6, 7)).astype(np.float32))
    cohort = set_up(tmp_path / "graph.yaml", place).cohort
    dataset = cohort.dataset(cohort.rows, cohort.fit(cohort.rows))
    assert dataset.labelled == {"mask"}
    made = Augmented(dataset.augmentation, dataset.ids, dataset.grids, 0, labelled=dataset.labelled)
    before = collate([dataset[0], dataset[1]])
    after = made(before, 0).inputs["mask"]
    assert set(after.unique().tolist()) == {0.0, 1.0} and not after.equal(before.inputs["mask"])
