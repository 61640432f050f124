"""Texts as ids: the tokenizer's own windows, what is cut off, ids that are given, and what a run keeps of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from fusionkit_plugins.readers.text import TextOptions, gather
from recorded import GOLDEN as RECORDED

from fusionkit.data.batch import collate
from fusionkit.data.cohort import Cohort
from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.errors import DataError
from fusionkit.reading import CohortCases, Sequences

GOLDEN = RECORDED / "encoders"
TOKENIZER = GOLDEN / "text_tokenizer.json"
TEXTS = json.loads((GOLDEN / "text_tokens.json").read_text(encoding="utf-8"))


def ids_of(**options: object) -> Sequences:
    cells = tuple(TEXTS["texts"])
    cases = CohortCases(tuple(f"c{row}" for row in range(len(cells))), {"note": cells}, (None,) * len(cells),
                  {"tokenizer": TOKENIZER}, ())
    return gather(cases, TextOptions(column="note", tokenizer="tokenizer.json", **options))


@pytest.mark.parametrize(("recorded", "options"), [
    ("ids", {"length": 100}), ("head_8", {"length": 8}), ("tail_8", {"length": 8, "keep": "tail"}),
    ("windows_8_overlap_0", {"length": 8, "windows": 9}),
    ("windows_8_overlap_2", {"length": 8, "windows": 9, "overlap": 2}),
])
def test_ids_are_those_that_the_library_recorded(recorded: str, options: dict[str, object]) -> None:
    wanted = [[id for window in ids for id in window] if isinstance(ids[0], list) else ids for ids in TEXTS[recorded]]
    found = ids_of(**options)
    assert found.kinds == TEXTS["vocabulary"]
    for text, ids, array in zip(TEXTS["texts"], wanted, found.arrays, strict=True):
        # A blank text is a case without one, though a tokenizer gives its special tokens.
        assert array is None if not text.strip() else array.tolist() == ids


def test_half_of_each_end_and_what_is_lost_are_told_once() -> None:
    found = ids_of(length=8, keep="head_tail")
    whole = TEXTS["ids"][2]
    assert found.arrays[2].tolist() == [2, *whole[1:4], *whole[-4:-1], 3]
    (advice,) = found.advice
    assert advice.code == "text-cut" and advice.cases == (1, 2) and "2 texts are longer" in advice.message


NOTE = InputNeed((None, None), optional=True, masked=True, most=512, layout="text")


def study(folder: Path, line: str = "tokenizer: tokenizer.json, length: 8", **more: object) -> Cohort:
    shutil.copy(TOKENIZER, folder / "tokenizer.json")
    rows = ["No acute chest pain.", "", "Left lung", "1 2"]
    (folder / "cases.csv").write_text("id,note\n" + "".join(f"c{n},{text}\n" for n, text in enumerate(rows)))
    (folder / "data.yaml").write_text("fusionkit-data: 1\ncases: cases.csv\nid: id\n"
                                      f"inputs: {{note: {{read: text, column: note, {line}}}}}\n")
    return load_cohort(describe(folder / "data.yaml"), {}, {"note": NOTE}, False, **more)


def test_a_batch_is_whole_numbers_padded_to_its_longest_text(tmp_path: Path) -> None:
    cohort = study(tmp_path)
    dataset = cohort.dataset(cohort.rows, cohort.fit(cohort.rows))
    batch = collate([dataset[place] for place in range(4)])
    assert cohort.sizes["note"] == (7, 40) and dataset.lengths() == [7, 0, 4, 4]
    assert batch.inputs["note"].dtype == torch.int64 and batch.inputs["note"].shape == (4, 7)
    assert batch.inputs["note"][0].tolist() == TEXTS["ids"][0]
    assert batch.valid["note"].sum(1).tolist() == [7, 0, 4, 4] and batch.present["note"].tolist() == [
        True, False, True, True]


def test_a_run_refuses_another_tokenizer_and_other_windows(tmp_path: Path) -> None:
    cohort = study(tmp_path)
    kept = Preprocessing.from_json(cohort.fit(cohort.rows).to_json())
    assert len(kept.sequences["note"].record["tokenizer"]) == 64
    study(tmp_path, preprocessing=kept)
    with pytest.raises(DataError, match=r"'length' differs \[preprocessing-differs\]"):
        study(tmp_path, "tokenizer: tokenizer.json, length: 7", preprocessing=kept)
    tokenizer = json.loads(TOKENIZER.read_text())
    (tmp_path / "other.json").write_text(json.dumps(tokenizer))
    with pytest.raises(DataError, match=r"'tokenizer' differs \[preprocessing-differs\]"):
        study(tmp_path, "tokenizer: other.json, length: 8", preprocessing=kept)


def test_a_run_without_such_an_input_keeps_its_file_as_it_was() -> None:
    assert "sequences" not in Preprocessing().to_json()


def test_texts_are_in_files_too(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("id\na\nb\n")
    (tmp_path / "a.txt").write_text("\ufeff1 2\n3\n", encoding="utf-8")
    (tmp_path / "data.yaml").write_text("fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs: {note: {read: text, "
                                        "path: '{id}.txt', missing_ok: true, vocabulary: 9}}\n")
    found = load_cohort(describe(tmp_path / "data.yaml"), {}, {"note": NOTE}, False).gathered["note"]
    assert found.arrays[0].tolist() == [1, 2, 3] and found.arrays[1] is None


def test_a_token_that_tells_the_label_is_warned_of_by_its_id_alone(tmp_path: Path) -> None:
    rows = [f"c{n},{'1 7 2' if n % 2 else '1 3 2'} {n % 5},{'yes' if n % 2 else 'no'}" for n in range(40)]
    (tmp_path / "cases.csv").write_text("id,note,result\n" + "\n".join(rows) + "\n")
    (tmp_path / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs: {note: {read: text, column: note, vocabulary: 9}}\n"
        "targets: {result: {column: result}}\n")
    head = HeadTarget("multiclass", ("no", "yes"))
    found = load_cohort(describe(tmp_path / "data.yaml"), {"result": head}, {"note": NOTE}, True).warnings
    told = next(one for one in found if one.code == "tells-target")
    assert "the id 7 occurs in the 20 texts of one answer and in no others" in told.message
