import numpy as np
import pytest
from pydantic import ValidationError

from fusionkit.data.readers.columns import categories, encode, fit, parse, shape, width
from fusionkit.data.readers.columns_options import ColumnsOptions
from fusionkit.data.table import Table

ROWS = (("1", "10", "m", "x"), ("2", "", "f", ""), ("", "", "", ""), ("4", "40", "d", "y"), ("9", "90", "m", "x"))
TABLE = Table("t.csv", ("a", "b", "s", "t"), ROWS)
IDS = ("0", "1", "2", "3", "4")
TRAIN = (0, 1, 2, 3)


def options(**more):
    return ColumnsOptions(**{"numeric": ["a", "b"], "categorical": ["s", "t"], "fill": "mean", **more})


def encoded(chosen, train=TRAIN):
    values, found = parse(TABLE, "ehr", chosen, IDS)
    assert found == []
    layout = categories(values, train)
    result = encode(values, chosen, fit(values, chosen, train, layout))
    assert result.shape == (5, width(chosen, layout)) and result.dtype == np.float32
    return values, result


def test_numbers_first_then_codes():
    values, result = encoded(options())
    assert values.present.tolist() == [True, True, False, True, True]
    mean, deviation = 7 / 3, np.std([1, 2, 4])
    assert result[0].tolist() == pytest.approx([(1 - mean) / deviation, -1.0, 3.0, 1.0])
    assert result[1].tolist() == pytest.approx([(2 - mean) / deviation, 0.0, 2.0, 0.0])
    assert result[4, 0] == pytest.approx((9 - mean) / deviation)


@pytest.mark.parametrize(("chosen", "names"), [
    ({}, "a, b, s, t"), ({"fill": "indicator"}, "a, b, a is blank, b is blank, s, t"),
    ({"encode": "onehot"}, "a, b, s is d, s is f, s is m, t is x, t is y")])
def test_each_value_of_a_vector_has_a_name(chosen, names):
    made = options(**chosen)
    values, _ = parse(TABLE, "ehr", made, IDS)
    entries = fit(values, made, TRAIN, categories(values, TRAIN)).entries
    assert ", ".join(entries) == names and len(entries) == encoded(made)[1].shape[1]


def test_an_absent_row_is_zeros():
    assert not encoded(options())[1][2].any()


def test_onehot_has_one_place_a_category_and_none_for_unknown_ones():
    result = encoded(options(encode="onehot"), train=(1, 3))[1]
    assert result[:, 2:].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 0, 0]]


def test_indicators_follow_the_numbers():
    result = encoded(options(fill="indicator", standardise=False))[1]
    assert result[1].tolist() == [2.0, 25.0, 0.0, 1.0, 2.0, 0.0]


def test_the_median_fills_without_moving_the_mean():
    assert encoded(options(numeric=["a", "b"], fill="median", standardise=False), train=(0, 3, 4))[1][1, 1] == 40


def test_a_constant_column_is_centred_and_not_blown_up():
    values, _ = parse(TABLE, "ehr", options(), IDS)
    fitted = fit(values, options(), (0,), ((), ()))
    assert fitted.deviations == (1.0, 1.0)


def test_a_category_that_a_fold_lacks_keeps_its_place():
    values, _ = parse(TABLE, "ehr", options(), IDS)
    layout = categories(values, range(5))
    fitted = fit(values, options(), (0, 1), layout)
    assert layout == (("d", "f", "m"), ("x", "y")) and fitted.categories == ((None, "f", "m"), ("x", None))
    assert encode(values, options(), fitted)[3, 2:].tolist() == [0, 0]


def test_blank_numbers_are_refused_unless_filled():
    _, found = parse(TABLE, "ehr", options(fill="refuse"), IDS)
    assert [(column, d.code, d.span.line) for column, d in found] == [("b", "blank-number", 2)]


def test_promised_sizes():
    assert shape(options()) == (4,) and shape(options(fill="indicator")) == (6,)
    assert shape(options(encode="onehot")) == (None,) and shape(ColumnsOptions(numeric=["a"], encode="onehot")) == (1,)


@pytest.mark.parametrize("given", [{}, {"numeric": ["a", "a"]}, {"numeric": ["a"], "categorical": ["a"]}])
def test_options_name_different_columns(given):
    with pytest.raises(ValidationError):
        ColumnsOptions(**given)
