"""Random damage to bytes, texts and trees of plain data."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 7, 255, 1 << 31, 1 << 63, 10**20, 10**30, 0.5, -0.0, 1e-320, 1e308, float("nan"),
    float("inf"), "", " ", "auto", "null", "no", "NaN", "1e999", "0x1f", "a\0b", "\x1b]0;title\x07", "\u202e", "\ud800",
    "\u2028", "=1+1", "x" * 3000, "../../etc/passwd", "/dev/zero", "/proc/self/mem", "{id}", "{", "'", "a.b", "-",
    [], {}, [[]], [None], [0] * 3000, ["a", "a"], {"": 0}, {"a": {"b": {"c": []}}}, [1e308, -1e308], [-1, 0, 1],
)
"""Values that have made trouble, or could."""
_INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_PIECES = "\n\t {}[]:,&*!|>'\"%@`#-?a1\x00\x85\ufeff\u2028\xe9"


def damaged(draw: Random, content: bytes, header: int = 1000) -> bytes:
    """Bytes with one to six places changed, most of them near the start, where the structure of a file is."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 3, 6))):
        if not changed:
            break
        most = len(changed) if draw.random() < 0.35 else min(len(changed), draw.choice((64, 160, 400, header)))
        _damage(draw, changed, draw.randrange(most))
    return bytes(changed)


def _damage(draw: Random, content: bytearray, place: int) -> None:
    """One change: a bit, a byte, a number, an end, a gap, an insertion, a copy from elsewhere."""
    change = draw.randrange(8)
    if change < 2:
        content[place] ^= 1 << draw.randrange(8)
    elif change == 2:
        content[place] = draw.randrange(256)
    elif change == 3:
        width = draw.choice((2, 4, 8))
        content[place : place + width] = draw.choice(_INTEGERS).to_bytes(8, "little")[:width]
        if draw.random() < 0.3:
            content[place : place + width] = reversed(content[place : place + width])
    elif change == 4:
        del content[place:]
    elif change == 5:
        del content[place : place + draw.randrange(1, 30)]
    elif change == 6:
        content[place:place] = draw.randbytes(draw.randrange(1, 12))
    else:
        source, length = draw.randrange(len(content)), draw.randrange(1, 30)
        content[place : place + length] = content[source : source + length]


def garbled(draw: Random, text: str) -> str:
    """A text with one to four short pieces replaced."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        start = draw.randrange(len(text) + 1)
        piece = "".join(draw.choices(_PIECES, k=draw.randrange(6)))
        text = text[:start] + piece + text[start + draw.randrange(12):]
    return text


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys or positions."""
    found: list[tuple[Any, Any]] = []
    pending = [tree]
    while pending:
        top = pending.pop()
        keys = list(top) if isinstance(top, dict) else range(len(top)) if isinstance(top, list) else ()
        found.extend((top, key) for key in keys)
        pending.extend(top[key] for key in keys)
    return found


def mangled(draw: Random, tree: Any, others: Sequence[Any] = ()) -> Any:
    """A copy of a tree with one to four changes; `others` are trees from which parts may be taken."""
    tree = copy.deepcopy(tree)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        found = places(tree)
        if not found:
            break
        _mangle(draw, found, draw.choice(others) if others else tree)
    return tree


def _mangle(draw: Random, found: Sequence[tuple[Any, Any]], other: Any) -> None:
    """One change: a value replaced by a hostile or a borrowed one, removed, renamed, doubled, scaled or nested."""
    container, key = draw.choice(found)
    change = draw.choice(("value", "value", "borrow", "borrow", "remove", "rename", "double", "number", "nest"))
    if change == "value":
        container[key] = copy.deepcopy(draw.choice(HOSTILE))
    elif change == "borrow":
        source = places(other) if draw.random() < 0.5 else found
        if source:
            giver, where = draw.choice(source)
            container[key] = copy.deepcopy(giver[where])
    elif change == "remove":
        del container[key]
    elif change == "rename" and isinstance(container, dict):
        name = draw.choice([value for value in HOSTILE if isinstance(value, str)] + [str(k) for _, k in found])
        container[name] = container.pop(key)
    elif change == "number" and isinstance(container[key], int | float) and not isinstance(container[key], bool):
        container[key] = container[key] * draw.choice((-1, 0, 2, 10, 1000, 1 << 40)) + draw.choice((0, 1, -1))
    elif change == "nest":
        container[key] = [container[key]]
    elif isinstance(container, list):
        container.extend(copy.deepcopy([container[key]] * draw.choice((1, 1, 50))))


def as_yaml(tree: Any) -> bytes:
    """Plain data as YAML in its flow style, which is JSON."""
    return json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass")


def written(draw: Random, tree: Any, text: str, others: Sequence[Any] = ()) -> bytes:
    """The damaged form of a YAML file, given as a tree and as text."""
    if draw.random() < 0.7:
        return as_yaml(mangled(draw, tree, others))
    if draw.random() < 0.7:
        return garbled(draw, text).encode("utf-8", "surrogatepass")
    return damaged(draw, text.encode(), len(text))
