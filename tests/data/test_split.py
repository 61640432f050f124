import numpy as np
import pytest

from fusionkit.data.description import describe
from fusionkit.data.division import Division
from fusionkit.data.findings import Findings
from fusionkit.data.numbers import NumberFormats
from fusionkit.data.split import divide, groups_of, strata_of
from fusionkit.data.table import Table, read_table
from fusionkit.data.target_spec import TargetSpec
from fusionkit.errors import Span


def divided(path, *sets):
    description = describe(path, sets)
    table = read_table(description.cases)
    findings = Findings()
    return divide(description, table, table.cells("id"), findings), findings


def test_no_split_is_no_division(cohort_file):
    cohort_file.write_text(cohort_file.read_text().replace("split: {column: split}\n", ""))
    assert divided(cohort_file)[0] == Division()


def test_a_group_other_than_the_patient(cohort_file):
    description = describe(cohort_file, ["split={folds: 2, group: kind}"])
    table = read_table(description.cases)
    assert groups_of(description, table, table.cells("id")) == ("kind", table.cells("kind"))
    division = divide(description, table, table.cells("id"), Findings())
    assert len({table.cell(row, "kind") for row in division.fold(0)[1]}) == 1


def test_without_a_patient_every_row_is_a_group(cohort_file):
    cohort_file.write_text(cohort_file.read_text().replace("patient: patient\n", ""))
    division, _ = divided(cohort_file, "split={folds: 12}")
    assert sorted(division.folds.tolist()) == list(range(12))


def test_a_seed_repeats_a_fraction_and_another_one_does_not(cohort_file):
    same = [divided(cohort_file, f"split={{fraction: {{test: 0.4}}, seed: {seed}}}")[0].parts for seed in (1, 1, 2, 3)]
    assert same[0] == same[1] and len(set(same)) > 1


@pytest.mark.parametrize(("assignment", "code"), [
    ("split={folds: 7}", "too-many-folds"), ("split={fraction: {test: 0.01}}", "empty-split"),
    ("split={column: kind}", "unknown-split"),
])
def test_a_split_that_cannot_be_made(cohort_file, assignment, code):
    _, findings = divided(cohort_file, assignment)
    assert {d.code for d in findings.of("error")} == {code}


def target(*columns):
    return TargetSpec("x", Span("data.yaml", 1, 1, ""), columns=columns)


def test_measurements_are_stratified_by_quarters():
    table = Table("t.csv", ("days", "kind"), tuple((str(n), "ab"[n % 2]) for n in range(20)))
    assert np.unique(strata_of(table, target("days"), NumberFormats()), return_counts=True)[1].tolist() == [5, 5, 5, 5]
    assert set(strata_of(table, target("kind"), NumberFormats())) == {"a", "b"}
    assert len(set(strata_of(table, target("days", "kind"), NumberFormats()))) == 20
