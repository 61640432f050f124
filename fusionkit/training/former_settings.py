"""Settings of earlier versions, which graphs and states of older runs have, as they are written now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit.syntax.typed_components import typed_form

_MODULATION = "modulation"
_OPTIONS = {"modulation_alpha": ("alpha", 0.3), "modulation_first_epoch": ("first_epoch", 1),
            "modulation_last_epoch": ("last_epoch", 0)}
_USED = {"ogm": {}, "ogm_ge": {"noise": True}}


def up_to_date(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which `modulation` and its options are a `method`; others are unchanged.

    Raises: ValueError if both are there, or `modulation` is not what it could be.
    """
    found = {name: value for name, value in given.items() if name != _MODULATION and name not in _OPTIONS}
    if len(found) == len(given):
        return found
    if found.get("method", "none") != "none":
        former = next(name for name in given if name == _MODULATION or name in _OPTIONS)
        raise ValueError(f"'{former}' is now an option of 'method', which is given too: remove it")
    modulation = given.get(_MODULATION, "none")
    if modulation == "none":
        return found
    if modulation not in _USED:
        raise ValueError(f"'modulation' was none, ogm or ogm_ge, and is now 'method': write method: ogm in place of "
                         f"{modulation!r}")
    options = {new: given[old] for old, (new, default) in _OPTIONS.items() if given.get(old, default) != default}
    return {**found, "method": typed_form("ogm", {**_USED[modulation], **options})}
