"""Targets of time and event: what is read, what is left out with a warning, and how parts are stratified."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fusionkit.data.description import describe
from fusionkit.data.loading import Cohort, HeadTarget, InputNeed, load_cohort
from fusionkit.errors import DataError
from fusionkit.interface.check_data import check_data

DEATH = {"death": HeadTarget("survival", ("12", "24"), size=2)}
Row = tuple[object, object]


def written(folder: Path, rows: list[Row], split: str = "split: {column: part}", test: int = 0, more: str = "") -> Path:
    lines = [f"c{row},{'test' if row < test else 'train'},{time},{died},{40 + row % 23}"
             for row, (time, died) in enumerate(rows)]
    (folder / "cases.csv").write_text("case,part,months,died,age\n" + "\n".join(lines) + "\n")
    (folder / "data.yaml").write_text(
        f"fusionkit-data: 1\ncases: cases.csv\nid: case\n{split}\n"
        "inputs: {clinic: {read: columns, numeric: [age]}}\n"
        f"targets:\n  death: {{time: months, event: died, unit: months{more}}}\n")
    return folder / "data.yaml"


def loaded(path: Path) -> Cohort:
    return load_cohort(describe(path), DEATH, {"clinic": InputNeed((1,))})


def usual(count: int = 40) -> list[Row]:
    return [(1 + row, row % 2) for row in range(count)]


def test_time_and_event_are_two_numbers_and_the_unit_is_a_word(tmp_path: Path) -> None:
    cohort = loaded(written(tmp_path, usual()))
    target = cohort.targets["death"]
    assert target.values.dtype == np.float32 and target.values[:3].tolist() == [[1, 0], [2, 1], [3, 0]]
    assert target.present.all() and cohort.description.targets["death"].words == {"unit": "months"}
    assert cohort.class_counts("death", cohort.rows) == {"censored": 20, "event": 20}
    assert cohort.fit(cohort.rows).class_counts["death"] == {"censored": 20, "event": 20}


def test_events_may_be_words_that_are_mapped(tmp_path: Path) -> None:
    rows = [(time, "dead" if died else "alive") for time, died in usual()]
    cohort = loaded(written(tmp_path, rows, more=", values: {alive: 0, dead: 1}"))
    assert cohort.targets["death"].values[:, 1].sum() == 20


@pytest.mark.parametrize(("row", "code"), [
    (("", 1), "half-target"), ((5, ""), "half-target"), ((0, 0), "no-follow-up"), (("", ""), None),
])
def test_cases_that_are_left_out(row: Row, code: str | None, tmp_path: Path) -> None:
    cohort = loaded(written(tmp_path, [*usual(), row]))
    target = cohort.targets["death"]
    assert not target.present[-1] and target.values[-1].tolist() == [0, 0] and target.present[:-1].all()
    assert [found.code for found in cohort.warnings] == ([code] if code else [])


@pytest.mark.parametrize(("rows", "test", "codes"), [
    ([(30 - row, int(row % 3 == 0)) for row in range(24)], 0, ["few-events"]),
    ([*[(3, 0)] * 6, *usual()], 6, ["no-event-in-part"]),
    ([*[(3, 1)] * 2, *usual()], 2, ["few-events"]),
    ([(row + 1, 1) for row in range(30)], 0, ["event-looks-inverted"]),
])
def test_warnings_of_parts(rows: list[Row], test: int, codes: list[str], tmp_path: Path) -> None:
    assert [found.code for found in loaded(written(tmp_path, rows, test=test)).warnings] == codes


@pytest.mark.parametrize(("rows", "code", "says"), [
    ([(-2, 1), *usual()], "negative-time", "is a time before the start"),
    ([(0, 1), *usual()], "event-at-start", "give the time in a finer unit"),
    ([(5, 2), *usual()], "bad-event", "competing risks"),
    ([(1 + row, 0) for row in range(30)], "no-event", "are all censored"),
    ([(1 + row, int(row < 20)) for row in range(30)], "horizon-too-late", "24 is not before the last event"),
])
def test_what_cannot_be_used_is_refused(rows: list[Row], code: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        loaded(written(tmp_path, rows))
    found = [each for each in error.value.diagnostics if each.severity == "error"]
    assert [each.code for each in found] == [code] and says in str(error.value)


def test_folds_are_stratified_by_event_and_by_thirds_of_time(tmp_path: Path) -> None:
    path = written(tmp_path, usual(60), "split: {folds: 5, stratify: death, seed: 3}")
    cohort = loaded(path)
    values = cohort.targets["death"].values
    for fold in range(5):
        _, tested = cohort.fold(fold)
        events = values[list(tested)][values[list(tested), 1] == 1, 0]
        assert len(events) == 6 and sorted(Counter(np.searchsorted([21, 41], events).tolist()).values()) == [2, 2, 2]


def test_few_events_are_stratified_by_event_alone(tmp_path: Path) -> None:
    rows = [(1 + row, int(row % 10 == 0)) for row in range(60)]
    cohort = loaded(written(tmp_path, [(time + 30, died) for time, died in rows], "split: {folds: 3, stratify: death}"))
    values = cohort.targets["death"].values
    assert [int(values[list(cohort.fold(fold)[1]), 1].sum()) for fold in range(3)] == [2, 2, 2]


def test_cases_that_are_held_out_have_the_events_of_all(tmp_path: Path) -> None:
    cohort = loaded(written(tmp_path, usual(60)))
    _, held = cohort.hold_out(cohort.rows, 0.2)
    assert cohort.targets["death"].values[list(held), 1].sum() == len(held) / 2


def test_a_data_file_is_checked_without_a_graph(tmp_path: Path) -> None:
    assert "targets death (survival)" in str(check_data(written(tmp_path, usual())))


RISKS = {"death": HeadTarget("competing_risks", ("relapse@12", "dead@12"), size=2)}


def competing(folder: Path, causes: str, heads: dict[str, HeadTarget]) -> Cohort:
    path = written(folder, [(1 + row, row % 3) for row in range(60)], "split: {folds: 4, stratify: death}", more=causes)
    return load_cohort(describe(path), heads, {"clinic": InputNeed((1,))})


def test_causes_are_numbers_in_the_order_of_their_names(tmp_path: Path) -> None:
    cohort = competing(tmp_path, ", causes: [relapse, dead]", RISKS)
    assert cohort.targets["death"].values[:3].tolist() == [[1, 0], [2, 1], [3, 2]]
    assert cohort.class_counts("death", cohort.rows) == {"censored": 20, "relapse": 20, "dead": 20}
    assert {int((cohort.targets["death"].values[list(cohort.fold(fold)[1]), 1] > 0).sum()) for fold in range(4)} == {10}
    assert "targets death (competing_risks)" in str(check_data(tmp_path / "data.yaml"))


@pytest.mark.parametrize(("causes", "heads", "says"), [
    (", causes: [dead, relapse]", RISKS, "its causes are dead, relapse, and those of its head relapse, dead"),
    ("", RISKS, "those of its head relapse, dead"), (", causes: [relapse, dead]", DEATH, "use 'head.cause_cox'"),
    ("", DEATH, "competing risks: see 'causes'"),
])
def test_causes_of_target_and_head_are_the_same(causes: str, heads: dict[str, HeadTarget], says: str, tmp_path: Path
                                                ) -> None:
    with pytest.raises(DataError, match=says):
        competing(tmp_path, causes, heads)
