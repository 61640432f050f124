"""Workbooks as tables: read by content, with sheets, numbers, dates and places; damaged ones refused."""

import sys
import zipfile
from xml.sax.saxutils import escape

import pytest

from fusionkit.data.table import read_table, read_table_and_faults
from fusionkit.errors import DataError

HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


class Day(int):
    """A day as a spreadsheet counts it, in a cell that is formatted as a date."""


def cell(value, row, column):
    place = f"{'ABCDEFGH'[column]}{row}"
    if value is None:
        return f'<c r="{place}"/>'
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}" s="{int(isinstance(value, Day))}"><v>{value!r}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def write(path, **sheets):
    """A workbook with the given sheets, each a list of rows."""
    with zipfile.ZipFile(path, "w") as archive:
        names = list(sheets)
        overrides = "".join(f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{KIND}.worksheet+xml"/>'
                            for n in range(1, len(names) + 1))
        archive.writestr("[Content_Types].xml", f'{HEAD}<Types xmlns="{PACKAGE}/content-types"><Default '
                         'Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
                         f'<Override PartName="/xl/workbook.xml" ContentType="{KIND}.sheet.main+xml"/>{overrides}'
                         "</Types>")
        archive.writestr("_rels/.rels", f'{HEAD}<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
                         f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>')
        listed = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(names, 1))
        archive.writestr("xl/workbook.xml", f'{HEAD}<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{listed}'
                         "</sheets></workbook>")
        links = "".join(f'<Relationship Id="rId{n}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
                        for n in range(1, len(names) + 1))
        archive.writestr("xl/_rels/workbook.xml.rels", f'{HEAD}<Relationships xmlns="{PACKAGE}/relationships">{links}'
                         f'<Relationship Id="rId99" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>')
        archive.writestr("xl/styles.xml", f'{HEAD}<styleSheet xmlns="{MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
                         '<xf numFmtId="14"/></cellXfs></styleSheet>')
        for number, rows in enumerate(sheets.values(), 1):
            body = "".join(f'<row r="{r}">{"".join(cell(value, r, c) for c, value in enumerate(row))}</row>'
                           for r, row in enumerate(rows, 1))
            archive.writestr(f"xl/worksheets/sheet{number}.xml",
                             f'{HEAD}<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData></worksheet>')
    return path


ROWS = [["id", "age", "seen", "smokes", "crp"], ["a", 61.0, Day(45000), True, "5,1"],
        ["b", 70.25, Day(45001), False, 4.5]]


@pytest.mark.parametrize("name", ["cases.xlsx", "cases.csv", "cases"])
def test_a_workbook_is_read_whatever_its_name(tmp_path, name):
    table = read_table(write(tmp_path / name, Sheet1=ROWS))
    assert table.columns == ("id", "age", "seen", "smokes", "crp")
    assert table.rows == (("a", "61", "2023-03-15", "true", "5,1"), ("b", "70.25", "2023-03-16", "false", "4.5"))
    assert [table.is_number(row, "age") for row in (0, 1)] == [True, True]
    assert [table.is_number(row, "crp") for row in (0, 1)] == [False, True]
    assert (table.span(1, "age").line, table.span(1, "age").column) == (3, 2)


def test_a_sheet_is_chosen_by_name_and_others_are_told_of(tmp_path):
    path = write(tmp_path / "s.xlsx", Notes=[["id"], ["n"]], Cases=ROWS, Empty=[])
    assert read_table(path, sheet="Cases").rows[0][0] == "a" and read_table(path).rows == (("n",),)
    (told,) = read_table_and_faults(path)[1]
    assert (told.code, told.severity) == ("several-sheets", "warning")
    assert "'Cases'" in told.why and "Empty" not in told.why
    with pytest.raises(DataError, match=r"did you mean 'Cases'"):
        read_table(path, sheet="Case")


def test_a_sheet_of_a_csv_file_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("id\na\n")
    with pytest.raises(DataError, match="no workbook"):
        read_table(tmp_path / "t.csv", sheet="x")


def test_blank_rows_at_the_end_are_nothing_and_others_are_refused_in_their_place(tmp_path):
    assert len(read_table(write(tmp_path / "a.xlsx", S=[*ROWS, [None, None], ["", " "]]))) == 2
    with pytest.raises(DataError) as caught:
        read_table(write(tmp_path / "b.xlsx", S=[ROWS[0], ROWS[1], [None], ROWS[2]]))
    (found,) = caught.value.diagnostics
    assert found.code == "empty-row" and found.span.line == 3
    table = read_table_and_faults(tmp_path / "b.xlsx")[0]
    assert table.span(1).line == 4 and table.is_number(1, "crp") and not table.is_number(0, "crp")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no archive",
                                     b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600])
def test_what_is_called_a_workbook_and_is_none_is_refused(tmp_path, content):
    (tmp_path / "t.xlsx").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "t.xlsx")
    assert caught.value.diagnostics[0].code == "not-a-workbook"


def test_a_workbook_that_unfolds_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("fusionkit.data.workbook.MAX_BYTES", 100)
    with pytest.raises(DataError, match="table-limit"):
        read_table(write(tmp_path / "t.xlsx", S=ROWS))


def test_without_the_package_it_is_still_named_as_a_workbook(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(DataError) as caught:
        read_table(write(tmp_path / "cases.csv", S=ROWS))
    (found,) = caught.value.diagnostics
    assert found.code == "missing-package" and "is a workbook" in found.message and "fusionkit[excel]" in found.fix
