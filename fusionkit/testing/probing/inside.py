"""Components to try where an option takes a component."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from fusionkit.components.component import Component
from fusionkit.components.config import Config
from fusionkit.components.declaration import Declaration
from fusionkit.components.inner import ABSENT, KINDS, places_in
from fusionkit.components.kinds import kind_of
from fusionkit.registry.inner import checked
from fusionkit.registry.lookup import Registry, discover

_TRIED: tuple[dict[str, Any], ...] = (
    {"use": "fusion.mean"}, {"use": "fusion.gmu", "with": {"width": 5}}, {"use": "fusion.product"},
    {"use": "encoder.mlp", "with": {"width": 5}}, {"use": "encoder.dropout"}, {"use": "encoder.project"},
    {"use": "head.regress", "with": {"values": ["y"]}},
)
"""Plain ones, with and without weights and randomness."""


def candidates(field: Mapping[str, Any]) -> Iterator[Any]:
    """Values for an option that takes components, by its JSON schema; lists of two where it takes several."""
    absent = _absent()
    found = [each for each in _TRIED if kind_of(each["use"]) in field[KINDS]
             and absent.get(each["use"]) in field.get(ABSENT, [absent.get(each["use"])])]
    if field.get("type") != "array":
        yield from found
    elif found:
        yield [found[0], found[-1]]
        yield [found[-1], found[0]]


@cache
def _absent() -> dict[str, str]:
    return {entry.id: entry.absent for entry in discover().entries}


def checked_options(component: Declaration, options: Mapping[str, Any], registry: Registry | None = None) -> Config:
    """The options of a component, with the components in them looked up among those that are installed.

    Raises: pydantic.ValidationError, or UserError for a component inside.
    """
    config = component.config.model_validate(dict(options))
    if isinstance(component, Component) and any(True for _ in places_in(config)):
        return checked(component, dict(options), registry or discover())
    return config
