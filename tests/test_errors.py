"""How a finding is printed: place, message, excerpt with a caret, why, fix."""

from __future__ import annotations

import pickle

import pytest

from fusionkit.errors import (
    DataError,
    Diagnostic,
    FusionkitError,
    GraphError,
    Owner,
    RunError,
    Span,
    UserError,
    did_you_mean,
    in_file_order,
    near,
)


def test_a_finding_is_printed_in_one_form():
    span = Span("lung.yaml", 9, 12, "  fused: {use: fusion.msca}")
    shown = Diagnostic("shape-clash", "it does not fit", span, "the widths differ", "project one").render()
    assert shown == (
        "lung.yaml:9:12: it does not fit [shape-clash]\n"
        "    fused: {use: fusion.msca}\n"
        "             ^\n"
        "  why: the widths differ\n"
        "  fix: project one")


def test_a_finding_may_have_no_place_and_a_warning_says_so():
    assert Diagnostic("odd", "strange", severity="warning").render() == "warning: strange [odd]"


@pytest.mark.parametrize(("text", "column", "mark"), [
    ("\tkey: value", 7, "v"),
    ("key: " + "x" * 500 + "HERE" + "y" * 500, 506, "H"),
    ("z" * 3000, 1, "z"),
    ("   padded   ", 4, "p"),
])
def test_the_caret_stands_under_the_column(text: str, column: int, mark: str):
    lines = Diagnostic("c", "m", Span("f", 1, column, text)).render().splitlines()
    caret = lines[2].index("^")
    assert lines[1][caret] == mark
    assert len(lines[1]) <= 114


def test_a_caret_past_the_end_stays_at_the_end():
    lines = Diagnostic("c", "m", Span("f", 1, 99, "short")).render().splitlines()
    assert lines[2] == "         ^"


def test_control_characters_of_a_file_do_not_reach_the_terminal():
    shown = Diagnostic("c", "m", Span("f", 1, 1, "name: \x1b[31mred\x07")).render()
    assert "\x1b" not in shown and "\x07" not in shown


def test_json_holds_everything():
    data = Diagnostic("c", "m", Span("f", 2, 3, "text"), "w", "x").as_json()
    assert data == {"code": "c", "severity": "error", "message": "m", "where": {"file": "f", "line": 2, "column": 3},
                    "why": "w", "fix": "x", "owner": None}
    data = Diagnostic("c", "m", owner=Owner("fused", "lungs.f1")).as_json()
    assert data["owner"] == {"node": "fused", "reads": "lungs.f1"}
    assert Diagnostic("c", "m").as_json()["where"] is None


def test_an_error_carries_all_findings_and_survives_a_worker_process():
    error = GraphError([Diagnostic("a", "first"), Diagnostic("b", "second")])
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, GraphError)
    assert again.diagnostics == error.diagnostics
    assert str(again) == "first [a]\nsecond [b]"


def test_an_error_without_findings_is_our_own_bug():
    with pytest.raises(AssertionError, match="please report"):
        UserError([])


def test_the_family_of_errors():
    assert issubclass(GraphError, UserError) and issubclass(DataError, UserError)
    assert issubclass(UserError, FusionkitError) and issubclass(RunError, FusionkitError)
    assert not issubclass(RunError, UserError)


def test_findings_are_told_from_the_top_of_the_file_and_once():
    late, early = Diagnostic("c", "late", Span("f", 9, 1)), Diagnostic("c", "early", Span("f", 2, 5))
    nowhere = Diagnostic("c", "nowhere")
    assert in_file_order([nowhere, late, early, late]) == [early, late, nowhere]


def test_near_matches():
    assert near("widht", ["width", "height"]) == "width"
    assert near("colour", ["width", "height"]) is None
    assert near("wit", ["width"], cutoff=0.95) is None
    assert near("x" * 5000, ["x" * 4999]) is None, "a file of long words must be refused quickly"


def test_did_you_mean():
    assert did_you_mean("widht", ["width"]) == "did you mean 'width'?"
    assert did_you_mean("colour", ["width", "bias"]) == "choose one of bias, width"
    assert did_you_mean("colour", ["width"], "read the manual") == "read the manual"
    assert did_you_mean("colour", []) is None
