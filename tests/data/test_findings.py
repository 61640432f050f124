import pytest

from fusionkit.data.findings import SHOWN, Findings
from fusionkit.errors import DataError, Diagnostic, Span


def found(code, file, line, severity="error"):
    return Diagnostic(code, "m", Span(file, line, 1), severity=severity)


def test_alike_faults_are_counted_and_their_lines_named():
    findings = Findings()
    for line in range(2, 102):
        findings.add(found("bad", "cases.csv", line), "age")
    errors = findings.of("error")
    assert len(errors) == SHOWN + 1
    assert errors[-1].message == f"{100 - SHOWN} more messages of this kind about 'age'"
    assert f"{SHOWN + 2}, {SHOWN + 3}" in errors[-1].why
    assert findings.count == 100


def test_one_more_than_is_shown_is_shown():
    findings = Findings()
    for line in range(SHOWN + 1):
        findings.add(found("bad", "cases.csv", line))
    assert all(d.message == "m" for d in findings.of("error"))


def test_files_in_order_of_appearance_and_lines_from_the_top():
    findings = Findings()
    findings.add(found("a", "data.yaml", 5))
    findings.add(found("b", "cases.csv", 9))
    findings.add(found("c", "cases.csv", 3))
    findings.add(found("d", "data.yaml", 2))
    assert [d.code for d in findings.of("error")] == ["d", "a", "c", "b"]


def test_warnings_do_not_stop():
    findings = Findings()
    findings.add(found("a", "cases.csv", 1, "warning"))
    findings.raise_errors()
    assert len(findings.of("warning")) == 1
    findings.add(found("b", "cases.csv", 2))
    with pytest.raises(DataError) as caught:
        findings.raise_errors()
    assert [d.code for d in caught.value.diagnostics] == ["b"]


def test_what_is_shown_does_not_hang_on_the_order_of_reading():
    findings = Findings()
    for line in reversed(range(2, 40)):
        findings.add(found("bad", "cases.csv", line))
    assert [d.span.line for d in findings.of("error")] == list(range(2, 2 + SHOWN + 1))


def test_a_rare_finding_does_not_vanish_among_many_of_its_code():
    findings = Findings()
    for line in range(1, 41):
        why = "a link on the way points out" if line == 30 else f"the folder has no 'c{line}.npy'"
        place = Span("t.csv", line, 1)
        findings.add(Diagnostic("missing-file", f"no file 'c{line}.npy'", place, why, "add the file"), "x")
    found = findings.of("error")
    assert len(found) == 10 and [d.span.line for d in found if d.why and "link" in d.why] == [30]
    assert [d.message for d in found if "31 more messages" in d.message]
