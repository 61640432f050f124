"""Interprets unquoted scalars by the YAML 1.2 core schema: `no` is text, `0o17` is 15."""

from __future__ import annotations

import re
from typing import Literal

Plain = None | bool | int | float | str
Kind = Literal["null", "bool", "int", "float", "str"]

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def kind_of(text: str) -> Kind:
    """The type of an unquoted scalar, without converting it."""
    if text in _NULL:
        return "null"
    if text in _BOOL:
        return "bool"
    if _INT.fullmatch(text) or _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        return "int"
    if _FLOAT.fullmatch(text) or _SPECIAL.fullmatch(text):
        return "float"
    return "str"


def plain_value(text: str) -> Plain:
    """The value of an unquoted scalar. The caller must refuse numbers with thousands of digits."""
    kind = kind_of(text)
    if kind == "bool":
        return _BOOL[text]
    if kind == "int":
        return int(text, 0 if text[1:2] in ("o", "x") else 10)
    if kind == "float":
        return float(text.replace(".", "").lower() if _SPECIAL.fullmatch(text) else text)
    return None if kind == "null" else text
