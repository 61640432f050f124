import pytest

from fusionkit.data.description import describe
from fusionkit.errors import DataError
from fusionkit.syntax.writer import write


def codes(caught):
    return [found.code for found in caught.value.diagnostics]


def test_a_description_keeps_names_readers_and_places(cohort_file):
    found = describe(cohort_file)
    assert (found.id, found.patient, found.split.kind, found.split.column) == ("id", "patient", "column", "split")
    assert found.inputs["picture"].reader == "image" and found.inputs["picture"].template == "x/{id}.png"
    assert found.inputs["table"].options.numeric == ("age", "weight")
    assert found.targets["symptoms"].all_columns == ("fever", "cough")
    assert found.span("targets", "kind", "column").line == 10


def test_the_plain_form_has_every_default_and_reads_back(cohort_file):
    found = describe(cohort_file, ["split={folds: 3, stratify: kind}"])
    plain = found.to_plain()
    assert plain["split"] == {"folds": 3, "seed": 0, "stratify": "kind"}
    assert plain["inputs"]["table"]["standardise"] is True and plain["inputs"]["picture"]["channels"] is None
    copy = cohort_file.with_name("copy.yaml")
    copy.write_text(write(plain))
    again = describe(copy)
    assert again.to_plain() == plain
    assert (again.inputs["table"].options, again.targets["kind"].column) == (found.inputs["table"].options, "kind")


def test_a_copy_elsewhere_is_read_against_the_first_folder(cohort_file, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "data.yaml").write_text(cohort_file.read_text())
    assert describe(run / "data.yaml", folder=cohort_file.parent).cases.exists()


def test_an_assignment_changes_an_option(cohort_file):
    assert describe(cohort_file, ["inputs.picture.size=[5, 3]"]).inputs["picture"].options.size == (5, 3)


@pytest.mark.parametrize(("assignment", "code"), [
    ("inputs.picture.size=[5]", "bad-option"),
    ("inputs.table.fill=zero", "bad-option"),
    ("inputs.picture.read=picture", "unknown-reader"),
    ("split.group=", "bad-value"),
    ("id=[a, b]", "bad-value"),
    ("blank=NA", "bad-value"),
    ("cases=../cases.csv", "path-outside"),
])
def test_a_wrong_assignment_is_a_diagnostic(cohort_file, assignment, code):
    with pytest.raises(DataError) as caught:
        describe(cohort_file, [assignment])
    assert codes(caught) == [code]


def test_an_absolute_path_is_taken_from_the_command_line_only(cohort_file, tmp_path):
    disk = tmp_path / "disk" / "pictures"
    found = describe(cohort_file, [f"inputs.picture.path={disk}/{{patient}}/{{id}}.png", f"cases={tmp_path}/c.csv"])
    assert (found.inputs["picture"].root, found.inputs["picture"].template) == (disk, "{patient}/{id}.png")
    assert found.cases == tmp_path / "c.csv"
    cohort_file.write_text(cohort_file.read_text().replace("x/{id}", f"{disk}/{{id}}"))
    with pytest.raises(DataError) as caught:
        describe(cohort_file)
    assert codes(caught) == ["path-outside"]


def test_grouping_can_be_turned_off_or_moved(cohort_file):
    assert describe(cohort_file, ["split.group=none"]).split.grouped is False
    assert describe(cohort_file, ["split.group=block"]).split.group == "block"


def test_val_is_short_for_validation(cohort_file):
    found = describe(cohort_file, ["split={fraction: {val: 0.2, test: 0.25}}"]).split
    assert (found.kind, dict(found.fractions)) == ("fraction", {"validation": 0.2, "test": 0.25})
