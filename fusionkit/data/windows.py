"""Windows: ranges of values that become 0 to 1, one or several, by their limits or by the usual names of CT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Annotated, Any, cast

from pydantic import PlainSerializer, PlainValidator

from fusionkit.data.readers.reader import Window

NAMED: Mapping[str, tuple[float, float]] = {
    "lung": (-1350.0, 150.0), "soft": (-160.0, 240.0), "bone": (-450.0, 1050.0), "brain": (0.0, 80.0),
    "subdural": (-32.5, 182.5), "liver": (-20.0, 140.0), "pe": (-250.0, 450.0)}
"""The usual windows of CT, in HU: centre less and plus half the width."""

_Limits = tuple[float, float]


class NamedWindow(tuple[float, float]):
    """A window that was given by a name, so that its limits are HU."""

    __slots__ = ()


def _limits(given: Any, named: bool) -> _Limits:
    if isinstance(given, str):
        if named and given in NAMED:
            return NamedWindow(NAMED[given])
        known = f"a window is two numbers or one of {', '.join(NAMED)}" if named else "a window is two numbers"
        raise ValueError(f"{given!r} is no window; {known}" if named else known)
    if not isinstance(given, Sequence) or len(given) != 2:
        raise ValueError("a window is two numbers, the smaller one first")
    numbers = [float(each) if isinstance(each, int | float) and not isinstance(each, bool) else None for each in given]
    low, high = numbers
    if low is None or high is None or not (isfinite(low) and isfinite(high)):
        raise ValueError("a window is two finite numbers")
    if not low < high:
        raise ValueError("the first number must be smaller than the second")
    return low, high


def _read(given: Any, named: bool) -> _Limits | tuple[_Limits, ...]:
    if isinstance(given, Mapping):
        given = list(given.values())
        if not given:
            raise ValueError("it names no window")
    if isinstance(given, list | tuple) and given and all(isinstance(each, list | tuple | str) for each in given):
        return tuple(_limits(each, named) for each in given)
    return _limits(given, named)


def _as_given(windows: object) -> object:
    return windows


Windows = Annotated[
    Window | tuple[Window, ...],
    PlainValidator(partial(_read, named=True), json_schema_input_type=Window | str | list[Window | str] |
                   dict[str, Window]),
    # pydantic's own serializer of such a union warns of the way that it does not take.
    PlainSerializer(_as_given, return_type=Any)]
"""One window (two numbers, or a name of `NAMED`), or several: a list, or a mapping of names to numbers."""
NumberWindows = Annotated[
    Window | tuple[Window, ...],
    PlainValidator(partial(_read, named=False), json_schema_input_type=Window | list[Window] | dict[str, Window]),
    PlainSerializer(_as_given, return_type=Any)]
"""The same for values that are not HU: without names."""


def several(windows: _Limits | tuple[_Limits, ...] | None) -> tuple[_Limits, ...]:
    """The windows as a list, empty for none."""
    if windows is None:
        return ()
    low, high = windows[0], windows[-1]
    if isinstance(low, tuple) or isinstance(high, tuple):
        return tuple(each for each in windows if isinstance(each, tuple))
    # The very pair: one that was given by its name says so.
    return (cast(_Limits, windows),)
