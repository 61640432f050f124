import sys

import pytest

from fusionkit.data.table import read_table
from fusionkit.errors import DataError


def table(tmp_path, text, name="cases.csv", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, **options)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_delimiter_is_found(tmp_path, mark):
    found = table(tmp_path, f"id{mark}note\n1{mark}a\n")
    assert found.columns == ("id", "note") and found.rows == (("1", "a"),)


def test_a_semicolon_table_with_decimal_commas_and_a_byte_order_mark(tmp_path):
    found = table(tmp_path, b"\xef\xbb\xbfid;age\r\n1;61,5\r\n")
    assert found.columns == ("id", "age") and found.cell(0, "age") == "61,5"


def test_cells_lose_outer_blanks_and_blank_words(tmp_path):
    found = table(tmp_path, "id, age\n 1 ,NA\n\n2, 7\n", blank=["NA"])
    assert found.rows == (("1", ""), ("2", "7"))
    assert found.span(0, "age").text == " 1 ,NA"


def test_places_count_lines_and_characters_through_quoted_cells(tmp_path):
    found = table(tmp_path, 'id,note,age\n1,"a, ""b""\nsecond line",5\n\n2,c,  6\n')
    assert (found.span(0, "age").line, found.span(0, "age").column) == (3, 14)
    assert (found.span(1, "age").line, found.span(1, "age").column) == (5, 7)
    assert (found.header("note").line, found.header("note").column) == (1, 4)
    assert found.span(1).line == 5


def test_a_quote_inside_a_cell_is_a_character(tmp_path):
    found = table(tmp_path, 'id,note,age\n1,5" nail,6\n')
    assert found.cell(0, "note") == '5" nail' and found.span(0, "age").column == 11


def test_every_ragged_row_is_told(tmp_path):
    with pytest.raises(DataError) as caught:
        table(tmp_path, "a,b\n1\n2,3\n4,5,6\n")
    assert [(d.code, d.span.line) for d in caught.value.diagnostics] == [("ragged-row", 2), ("ragged-row", 4)]


@pytest.mark.parametrize(("text", "code"), [
    ("", "empty-table"), ("\n\n", "empty-table"), ("a,b\n", "empty-table"), (",,\n1,2,3\n", "empty-table"),
    ("a,a\n1,2\n", "duplicate-column"), ('a\n"1\n', "csv-syntax"), ('a\n"1"2\n', "csv-syntax"),
    (b"a\n\xff\n", "not-utf8"), (b"a\n\0\n", "not-utf8"), ("a,b\n1,2\n,\n", "empty-row"),
    ("a\n" + "x" * 200_000 + "\n", "csv-syntax"),
])
def test_what_is_no_table_is_told_by_name(tmp_path, text, code):
    with pytest.raises(DataError) as caught:
        table(tmp_path, text)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_a_nameless_column_is_no_column(tmp_path):
    found = table(tmp_path, ",id,\n0,a,x\n")
    assert "" not in found and "id" in found


def test_parquet(tmp_path):
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "cases.parquet"
    data = {"id": ["a", "b"], "age": [1.5, None], "n": [1, 2], "flag": [True, False]}
    parquet.write_table(pyarrow.table(data), path)
    found = read_table(path)
    assert found.rows == (("a", "1.5", "1", "true"), ("b", "", "2", "false"))
    assert (found.span(1, "n").line, found.span(1, "n").column) == (2, 3)


def test_nested_parquet_is_refused(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"id": ["a"], "list": [[1, 2]]}), tmp_path / "c.parquet")
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "c.parquet")
    assert caught.value.diagnostics[0].code == "nested-column"


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"fusionkit\[parquet\]"):
        read_table(tmp_path / "c.parquet")
