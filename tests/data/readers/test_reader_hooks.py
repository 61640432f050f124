"""What every reader offers, and that the code around the readers knows none of them."""

from __future__ import annotations

import inspect
import re

import pytest
from bundled_readers import READERS

from fusionkit.data import checks, description


@pytest.mark.parametrize(("reader", "given", "expected", "met", "fix"), [
    ("image", {"path": "a"}, (3, 8, 8), (1, 4, 4), "write 'size: [8, 8]' and 'channels: 3' on input 'x' of the data"),
    ("image", {"path": "a"}, (None, 8, 8), (1, 8, 8), "write 'channels: 1' on"),
    ("numpy", {"path": "a"}, (1, 8, 8), (3, 8, 8), "correct the sizes in the graph, or give all files the same size"),
    ("nifti", {"path": "a"}, (1, 4, 8, 8), (1, 4, 9, 8), "write 'size: [4, 8, 8]' on"),
    ("dicom", {"path": "a"}, (1, 8, 8), (1, 4, 8, 8), "choose another reader or another kind of input in the graph"),
    ("columns", {"numeric": ["a"]}, (2,), (1,), "write 'vector: [1]' in the graph, or change the columns of the input"),
])
def test_a_reader_says_what_to_do_about_a_size(reader, given, expected, met, fix) -> None:
    made = READERS[reader]
    assert made.size_fix("x", made.options.model_validate(given), expected, met).startswith(fix)


def test_columns_are_named_by_the_option_that_lists_them() -> None:
    lists = {"numeric": ["a"], "categorical": ["b", "c"]}
    given = {"columns": lists, "mask_statistics": {"of": "ct", "mask": "a"}, "positions": {"of": "views"},
             "bag": {"of": {"read": "image"}, "path": "a"}}
    named = {name: reader.columns(reader.options.model_validate(given.get(name, {"path": "a"})))
             for name, reader in READERS.items() if reader.gives == "array"}
    assert named.pop("columns") == {"numeric": ("a",), "date": (), "categorical": ("b", "c")}
    assert not any(named.values())


@pytest.mark.parametrize("module", [checks, description])
def test_no_reader_is_known_by_name(module) -> None:
    source = inspect.getsource(module)
    assert not re.search(rf"readers\.({'|'.join(READERS)})\b|(==|in) ['\"(]*({'|'.join(READERS)})['\"]", source)
