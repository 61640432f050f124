import numpy as np
import pytest

from fusionkit.data.findings import Findings
from fusionkit.data.signature import HeadTarget
from fusionkit.data.table import Table
from fusionkit.data.target_spec import TargetSpec
from fusionkit.data.targets import absent, parse
from fusionkit.errors import Span

PLACE = Span("data.yaml", 1, 1)
TABLE = Table("t.csv", ("kind", "one", "two", "days"), (
    ("b", "1", "0", "5"), ("a", "0", "true", "7.5"), ("", "", "", ""), ("2.0", "FALSE", "1.0", "-1"),
))


def parsed(head, **spec):
    findings = Findings()
    found = parse(TABLE, "t", TargetSpec("t", PLACE, **spec), head, ids=("0", "1", "2", "3"), findings=findings)
    return found, findings


def test_classes_by_name_and_by_value():
    found, findings = parsed(HeadTarget("multiclass", ("a", "b", "c")), column="kind", values={"2": "c"})
    assert found.values.tolist() == [1, 0, 0, 2] and found.present.tolist() == [True, True, False, True]
    assert findings.count == 0


def test_whole_numbers_may_be_written_as_floats():
    found, _ = parsed(HeadTarget("multiclass", ("a", "b", "2")), column="kind")
    assert found.values[3] == 2


def test_labels_by_name_else_in_the_order_given():
    found, _ = parsed(HeadTarget("multilabel", ("two", "one")), columns=("one", "two"))
    assert found.values.tolist() == [[0, 1], [1, 0], [0, 0], [1, 0]] and found.values.dtype == np.float32
    found, _ = parsed(HeadTarget("multilabel", ("x", "y")), columns=("one", "two"))
    assert found.values.tolist() == [[1, 0], [0, 1], [0, 0], [0, 1]]


def test_values_to_predict():
    found, findings = parsed(HeadTarget("regression"), column="days")
    assert found.values.tolist() == [[5], [7.5], [0], [-1]] and found.present.tolist() == [True, True, False, True]
    assert findings.count == 0


@pytest.mark.parametrize(("head", "shape"), [
    (HeadTarget("multiclass", ("a", "b"), size=2), (3,)), (HeadTarget("multilabel", ("a", "b")), (3, 2)),
    (HeadTarget("regression", size=5), (3, 5)),
])
def test_an_absent_target_has_its_shape(head, shape):
    found = absent(head, 3)
    assert found.values.shape == shape and not found.present.any()


@pytest.mark.parametrize(("head", "spec", "codes"), [
    (HeadTarget("multiclass", ("a",)), {"column": "kind"}, ["unknown-class"]),
    (HeadTarget("multiclass", ("a", "b")), {"columns": ("one", "two")}, ["bad-target"]),
    (HeadTarget("multilabel", ("one", "x")), {"columns": ("one", "two")}, ["bad-target"]),
    (HeadTarget("multilabel", ("one", "two")), {"columns": ("one", "two", "days")}, ["bad-target"]),
    (HeadTarget("multilabel", ("one", "two")), {"columns": ("one",)}, ["bad-target"]),
    (HeadTarget("multilabel", ("x", "y")), {"columns": ("one", "days")}, ["bad-label"]),
    (HeadTarget("regression", size=2), {"column": "days"}, ["bad-target"]),
    (HeadTarget("regression"), {"column": "kind"}, ["not-a-number"]),
])
def test_faults(head, spec, codes):
    _, findings = parsed(head, **spec)
    assert [d.code for d in findings.of("error")] == codes
