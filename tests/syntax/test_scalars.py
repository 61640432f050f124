"""What an unquoted scalar is, told without converting it."""

from __future__ import annotations

import pytest

from fusionkit.syntax.scalars import kind_of, plain_value


@pytest.mark.parametrize(("text", "kind"), [
    ("", "null"), ("~", "null"), ("True", "bool"), ("no", "str"), ("-0", "int"), ("0o7", "int"), ("0o8", "str"),
    ("1.", "float"), ("-.inf", "float"), (".nan", "float"), ("-.nan", "str"), ("9" * 10_000, "int"),
])
def test_kinds(text: str, kind: str):
    assert kind_of(text) == kind


@pytest.mark.parametrize("text", ["12", "0x1f", "1e3", "true", "~", "text", ".inf"])
def test_the_kind_is_the_type_of_the_value(text: str):
    types = {"null": type(None), "bool": bool, "int": int, "float": float, "str": str}
    assert type(plain_value(text)) is types[kind_of(text)]
