import numpy as np
import pytest

from fusionkit.data.dates import order_of, read_day
from fusionkit.data.numbers import PLAIN, NumberFormat, formats_of, kind_of, marks_fix


@pytest.mark.parametrize(("cell", "number"), [
    ("1e3", 1000), ("-.5", -0.5), ("+7", 7), ("1_000", None), ("1,5", None), ("\u0661", None), ("0x10", None),
    ("-Infinity", -np.inf), ("12 kg", None), ("1,234.5", None), ("", None),
])
def test_plain_numbers(cell, number):
    assert PLAIN.read(cell) == number


@pytest.mark.parametrize(("decimal", "thousands", "cell", "number"), [
    (",", "", "82,700", 82.7), (",", "", "82.7", None), (",", "", "-0,5e2", -50), (",", ".", "1.234.567,5", 1234567.5),
    (",", ".", "82.70", None), (".", ",", "82,700", 82700), (".", ",", "82,70", None), (".", ",", "1234.5", 1234.5),
    (".", ",", "0,123", None), (".", " ", "1\u202f234.5", 1234.5), (".", " ", "12 34", None),
    (".", "'", "1\u2019234", 1234),
    (",", "", "\u0661", None), (".", ",", ",", None), (",", "", "inf", np.inf),
])
def test_numbers_in_a_format(decimal, thousands, cell, number):
    assert NumberFormat(decimal, thousands).read(cell) == number


@pytest.mark.parametrize(("cell", "kind"), [
    ("<0.6", "limit"), ("\u2265 90", "limit"), ("90+", "limit"), ("less than 5", "limit"), ("70 kg", "unit"),
    ("45%", "unit"), ("$5", "unit"), ("120/80", "several"), ("5-10", "several"), ("12:30", "several"),
    ("2021-03-04", "date"), ("4.3.2021", "date"), ("03/04/21", "date"), ("4 Mar 2021", "date"),
    ("2021-03-04 12:00:00", "date"), ("unknown", "word"), ("nan", "not-finite"), ("1e39", "too-large"),
    ("1,2,3", "word"), ("82,7", "marks"), ("1 234", "marks"),
])
def test_what_a_cell_seems_to_be(cell, kind):
    assert kind_of(cell, PLAIN) == kind


def test_readings_that_agree_are_one():
    assert formats_of(["82,7"]) == [NumberFormat(",")]
    assert formats_of(["82,700"]) == [NumberFormat(","), NumberFormat(".", ",")]
    assert formats_of(["82,700", "85.5"]) == [NumberFormat(".", ",")]
    assert formats_of(["82,7", "85.5"]) == []


@pytest.mark.parametrize(("faulty", "good", "says"), [
    (["82,700"], ["85"], ["82.7 with 'decimal: \",\"'", "82700 with 'thousands: \",\"'", " or "]),
    (["82,700"], ["85.5"], ["add 'thousands: \",\"' to",
                            "with 'thousands: \",\"' it is 82700", "'thousands: {w: \",\"}'"]),
    (["82,7", "82,700"], [], ["with 'decimal: \",\"' it is 82.7"]),
    (["1.234.567"], ["85.500"], ["'decimal: \",\"' and 'thousands: \".\"' it is 1234567"]),
    (["82,7"], ["85.5"], ["no one setting", "'85.5'", "in the same format"]),
])
def test_advice_names_every_reading_that_all_cells_allow_and_no_other(faulty, good, says):
    told = " / ".join(marks_fix("w", faulty, good))
    assert [part for part in says if part not in told] == []


@pytest.mark.parametrize(("cell", "order", "day"), [
    ("1970-01-02", None, 1), ("19700102", None, 1), ("2.1.1970", None, 1), ("02/01/1970", "dmy", 1),
    ("02/01/1970", "mdy", 31), ("02/01/1970", None, None), ("13/01/1970", None, 12), ("01/13/1970", None, 12),
    ("13/01/1970", "mdy", None), ("2-Jan-1970", None, 1), ("January 2, 1970", None, 1),
    ("1970-01-02 06:00", None, 1.25), ("1970-01-02T06:00:00Z", None, 1.25),
    ("1970-01-02T06:00+06:00", None, 1), ("1/2/1970 6:00 PM", "mdy", 1.75),
    ("31.2.1970", None, None), ("02.01.70", None, None), ("2", None, None), ("soon", None, None),
])
def test_days(cell, order, day):
    assert read_day(cell, order) == day


@pytest.mark.parametrize(("cells", "order"), [
    (["01/02/2020", "13/02/2020"], "dmy"), (["01/02/2020", "02/13/2020"], "mdy"), (["01/02/2020"], "open"),
    (["13/02/2020", "02/13/2020"], "both"), (["2020-01-02"], "dmy"), (["01.02.2020"], "dmy"), (["02/02/2020"], "dmy"),
])
def test_the_column_tells_which_comes_first(cells, order):
    assert order_of(cells) == order
