"""What a run keeps of its cohort for the report: counts by part and outcome, nothing of single cases."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from small_study import read_table, write_study
from small_study import without_plots as without_plots

from fusionkit.data.study_columns import FEWEST
from fusionkit.registry.lookup import discover
from fusionkit.runs.cohort_record import COHORT, write_cohort
from fusionkit.runs.setup import set_up


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The record of a study and its table."""
    folder = tmp_path_factory.mktemp("study")
    graph, data = write_study(folder)
    cohort = set_up(graph, data, (), discover()).cohort
    small = cohort.split_rows("test")[: FEWEST - 1]
    write_cohort(folder, cohort, {"train": cohort.split_rows("train"), "test": cohort.split_rows("test"),
                                  "validation": (), "few": small})
    return json.loads((folder / COHORT).read_text()), read_table(folder / "cases.csv")


def test_parts_count_cases_patients_outcomes_and_absent_inputs(study: Any) -> None:
    record, table = study
    train = [row for row in table if row["split"] == "train"]
    part = record["parts"]["train"]
    assert part["cases"] == len(train) and part["patients"] == len({row["patient"] for row in train})
    assert part["heads"]["result"]["counts"] == {name: sum(row["result"] == name for row in train)
                                                 for name in ("no", "yes")}
    assert part["absent_inputs"] == {"lab": 0, "scan": sum(not row["d"] for row in train)}
    assert "validation" not in record["parts"] and record["parts"]["all"]["cases"] == len(table)


def test_columns_are_described_by_part_and_outcome(study: Any) -> None:
    record, table = study
    column = next(each for each in record["characteristics"] if each["column"] == "a")
    group = next(each for each in column["groups"] if (each["part"], each["outcome"]) == ("test", "yes"))
    values = [float(row["a"]) for row in table if (row["split"], row["result"]) == ("test", "yes")]
    assert group["known"] == len(values) and group["missing"] == 0
    assert group["mean"] == pytest.approx(np.mean(values), rel=1e-5)
    assert group["sd"] == pytest.approx(np.std(values, ddof=1), rel=1e-5)
    site = next(each for each in record["characteristics"] if each["column"] == "site")["groups"][0]
    assert site["counts"]["north"] == sum(row["site"] == "north" for row in table)
    assert site["missing"] == sum(not row["site"] for row in table)


def test_statistics_of_few_cases_are_not_kept(study: Any) -> None:
    record, _ = study
    few = [group for column in record["characteristics"] if column["kind"] == "number" for group in column["groups"]
           if group["known"] < FEWEST]
    assert few and not any({"mean", "median", "quartiles"} & group.keys() for group in few)
