"""Writes plain data as YAML that the reader restores unchanged."""

from __future__ import annotations

import re
from typing import Any

import yaml

from fusionkit.syntax.scalars import kind_of

_FOLDED = re.compile("[\r\x85\u2028\u2029\ufeff]")


class _Dumper(yaml.SafeDumper):
    """Writes what `read` restores: plain scalars follow the 1.2 rules, not PyYAML's 1.1."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0]:
            return f"tag:yaml.org,2002:{'merge' if value == '<<' else kind_of(value)}"
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # PyYAML is untyped


def _number(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    special = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
    return dumper.represent_scalar("tag:yaml.org,2002:float", special.get(repr(value), repr(value)))


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Without escapes, YAML would fold these into a space or a line feed.
    style = '"' if _FOLDED.search(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)


_Dumper.add_representer(float, _number)
_Dumper.add_representer(str, _text)


def write_in_braces(data: Any) -> str:
    """Plain data as YAML on one line that `read` restores unchanged: `{width: 16, names: [a, b]}`."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"),
                     default_flow_style=True).strip()


def write(data: Any, *, width: int = 110, one_line: bool = True) -> str:
    """Plain data as YAML that `read` restores unchanged.

    With `one_line`, short inner values stay on one line; without it, every value has its own line.
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width,
                     default_flow_style=None if one_line else False)
