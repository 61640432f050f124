"""The stacks of a folder, each of which can be one volume or picture, and the choice of one by rules.

A stack is a series, divided by direction and size, and further only where two images lie at one place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.dicom.conditions import fits, known_keywords
from fusionkit_plugins.blocks.dicom.headers import Slice

from fusionkit.reading import ReadError

_SPLIT = ("AcquisitionNumber", "EchoNumbers", "TemporalPositionIdentifier", "DiffusionBValue", "TriggerTime",
          "ConvolutionKernel", "TemporalPositionIndex", "StackID", "EffectiveEchoTime")
_HEADER = ("BodyPartExamined", "ContrastBolusAgent", "AcquisitionDate", "AcquisitionTime")
_TEXTS = ("modality", "description", "body_part", "kernel", "orientation")
_RANGES = ("thickness", "slices")
_KEYS = (*_TEXTS, "image_type", "contrast", *_RANGES, "number", "acquisition", "having", "not", "most")
_MOST = ("slices", "thinnest", "thickest", "first", "last", "earliest", "latest")
_ORIENTATIONS = ("axial", "coronal", "sagittal", "oblique")
_NEAR = 1e-3
_STRAIGHT = 0.9  # of the cosine between a normal and an axis of the body
_SHOWN = 12
Rule = Mapping[str, Any]


@dataclass(frozen=True)
class Stack:
    """Some slices of one series, at different places."""

    slices: list[Slice]

    @property
    def head(self) -> Slice:
        """The slice that speaks for all."""
        return self.slices[0]

    @cached_property
    def orientation(self) -> str:
        """The plane of the slices, `oblique`, or `none` if they do not say where they are."""
        if self.head.orientation is None:
            return "none"
        normal = np.abs(np.cross(self.head.orientation[:3], self.head.orientation[3:]))
        return ("sagittal", "coronal", "axial")[int(normal.argmax())] if normal.max() > _STRAIGHT else "oblique"

    @cached_property
    def thickness(self) -> float | None:
        """The usual step in mm by the positions; of one slice that of its header."""
        places = [item.position for item in self.slices if item.position is not None]
        if len(places) < 2 or self.head.orientation is None:
            return self.head.thickness
        normal = np.cross(self.head.orientation[:3], self.head.orientation[3:])
        return round(float(np.median(np.diff(np.sort(np.array(places) @ normal)))), 4)

    def value(self, key: str) -> Any:
        """What a condition of that name is compared with."""
        head, header = self.head, self.head.header
        values: dict[str, Callable[[], Any]] = {
            "modality": lambda: head.modality, "description": lambda: head.description,
            "body_part": lambda: header.get("BodyPartExamined", ""),
            "kernel": lambda: head.variants.get("ConvolutionKernel", ""), "orientation": lambda: self.orientation,
            "image_type": lambda: "\\".join(head.image_type),
            "contrast": lambda: bool(header.get("ContrastBolusAgent", "")), "thickness": lambda: self.thickness,
            "slices": lambda: len(self.slices), "number": lambda: int(_number(head.series_number)[1]),
            "acquisition": lambda: int(_number(head.variants.get("AcquisitionNumber", ""))[1])}
        return values[key]()

    @property
    def text(self) -> str:
        """The stack in one line, for messages."""
        step = None if self.thickness is None else f"{self.thickness:g} mm"
        parts = [self.head.modality, f"{len(self.slices)} slice{'s' if len(self.slices) > 1 else ''}",
                 self.orientation if self.orientation != "none" else None, step, self.value("kernel"), self.variant]
        return f"{self.head.series_number or '-'} {self.head.description!r} ({', '.join(filter(None, parts))})"

    @property
    def variant(self) -> str:
        """What else tells the stack from others of its series."""
        named = [f"{key} {self.head.variants[key]}" for key in _SPLIT if self.head.variants.get(key)]
        return ", ".join(each for each in named if not each.startswith("ConvolutionKernel"))

    @property
    def kind(self) -> str:
        """What two chosen stacks of one study should share: direction, step and kernel."""
        step = "" if self.thickness is None else f"{self.thickness:.3g} mm"
        return " ".join(filter(None, (self.orientation, step, self.value("kernel"))))


def stacks_of(slices: Sequence[Slice]) -> list[Stack]:
    """All stacks, in the order of series number, direction and variant."""
    series: dict[str, list[Slice]] = defaultdict(list)
    for item in slices:
        series[item.series].append(item)
    found = [Stack(group) for members in series.values() for part in _planes(members) for group in _divided(part)]
    return sorted(found, key=lambda stack: (
        stack.value("number"), stack.head.series, stack.orientation,
        [_number(stack.head.variants.get(key, "")) for key in _SPLIT]))


def _planes(members: list[Slice]) -> Iterator[list[Slice]]:
    parts: dict[object, list[Slice]] = defaultdict(list)
    for item in members:
        direction = tuple(np.round(item.orientation, 3) + 0.0) if item.orientation else ()
        parts[direction, item.rows, item.columns].append(item)
    yield from parts.values()


def _divided(part: list[Slice]) -> Iterator[list[Slice]]:
    places = {tuple(np.round(item.position, 2)) if item.position else () for item in part}
    if part[0].orientation is not None and len(places) < len(part):
        for key in _SPLIT:
            by: dict[str, list[Slice]] = defaultdict(list)
            for item in part:
                by[item.variants.get(key, "")].append(item)
            if len(by) > 1:
                yield from by.values()
                return
    yield part


def _number(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), ""
    except ValueError:
        return 1, 0.0, text


def choose(found: Sequence[Stack], rule: Rule, *, volume: bool) -> Stack:
    """The one stack that a rule leaves; for a `volume`, localizers and single images never take part.

    Raises: `ReadError` (dicom-no-series, dicom-several-series).
    """
    left = [stack for stack in found if misfit(stack, rule, volume=volume) is None]
    if not left:
        why = "; ".join(f"{stack.text}: {misfit(stack, rule, volume=volume)}" for stack in found[:_SHOWN])
        raise ReadError("dicom-no-series", "contains no series that 'choose' would take", why or "it has no series",
                        "loosen the conditions of 'choose', or set 'missing_ok: true' and leave the folder out")
    wanted = rule.get("most", [])
    for name in [wanted] if isinstance(wanted, str) else wanted:
        best = max(_rank(stack, name) for stack in left)
        left = [stack for stack in left if _rank(stack, name) == best]
    if len(left) > 1:
        shown = "; ".join(stack.text for stack in left[:_SHOWN]) + ("; ..." if len(left) > _SHOWN else "")
        raise ReadError("dicom-several-series", f"contains {len(left)} series that 'choose' would take",
                        f"they are {shown}", _narrower(left))
    return left[0]


def misfit(stack: Stack, rule: Rule, *, volume: bool) -> str | None:
    """Why a stack does not fit a rule, None if it does."""
    if volume:
        if not stack.head.rows or stack.orientation == "none" or stack.head.position is None:
            return "no image with a place"
        if any("LOCALIZER" in word.upper() for word in stack.head.image_type):
            return "a localizer"
        if len(stack.slices) < 2:
            return "one slice"
    for key, wanted in rule.items():
        if key == "having":
            for keyword, text in wanted.items():
                if not fits(stack.head.header.get(keyword, ""), text):
                    return f"{keyword} is {stack.head.header.get(keyword, '') or 'missing'}"
        elif key not in ("most", "not") and not _holds(stack.value(key), key, wanted):
            return f"{key} is {stack.value(key)!r}".replace("True", "true").replace("False", "false")
    return "excluded by 'not'" if "not" in rule and misfit(stack, rule["not"], volume=False) is None else None


def _holds(have: Any, key: str, wanted: Any) -> bool:
    if key in _RANGES:
        low, high = wanted if isinstance(wanted, list | tuple) else (wanted, wanted)
        return have is not None and low - _NEAR <= have <= high + _NEAR
    if key == "image_type":
        parts = {part.upper() for part in have.split("\\")}
        return {word.upper() for word in ([wanted] if isinstance(wanted, str) else wanted)} <= parts
    return fits(have, wanted) if isinstance(have, str) else bool(have == wanted)


def _rank(stack: Stack, name: str) -> Any:
    header = stack.head.header
    when = (header.get("AcquisitionDate", ""), _number(header.get("AcquisitionTime", ""))[1])
    thin, thick = (float("inf") if stack.thickness is None else stack.thickness,
                   -float("inf") if stack.thickness is None else stack.thickness)
    if name == "earliest":  # the order of dates, as their texts, is reversed by the digits' complement
        return tuple(-ord(letter) for letter in when[0]), -when[1]
    ranks = {"slices": len(stack.slices), "thinnest": -thin, "thickest": thick, "first": -stack.value("number"),
             "last": stack.value("number"), "latest": when}
    return ranks[name]


def _narrower(left: Sequence[Stack]) -> str:
    """The shortest condition that one of the stacks alone would meet."""
    ways = []
    for key in ("description", "kernel", "orientation", "modality", "thickness", "slices", "acquisition", "number"):
        for stack in left:
            value = stack.value(key)
            if value in (None, "") or sum(other.value(key) == value for other in left) != 1:
                continue
            written = repr(value) if isinstance(value, str) and not value.isalnum() else f"{value}"
            # Numbers of series and acquisitions differ between patients, so that others are better.
            ways.append((key in ("number", "acquisition"), len(key) + len(written), f"{key}: {written}"))
    ways += [(True, 99, f"having: {{{key}: {value}}}") for stack in left for key, value in stack.head.variants.items()
             if key in _SPLIT and value and sum(other.head.variants.get(key) == value for other in left) == 1]
    most = next((name for name in _MOST if [_rank(stack, name) for stack in left].count(
        max(_rank(stack, name) for stack in left)) == 1), None)
    fixes = [*([f"'{min(ways)[2]}'"] if ways else []), *([f"'most: {most}'"] if most else [])]
    return f"add {' or '.join(fixes) or 'a condition that only one of them meets'} to 'choose'"


def elements_of(rule: Rule | None) -> tuple[str, ...]:
    """The keywords of the elements that a rule compares, besides what every slice keeps; none without a rule."""
    if rule is None:
        return ()
    inner = elements_of(rule["not"]) if "not" in rule else ()
    return tuple(dict.fromkeys((*_HEADER, *rule.get("having", {}), *inner)))


def checked_rule(given: Rule | None) -> Rule | None:
    """The rule as it was written, if its keys and values can be used. Raises: ValueError."""
    for key, value in (given or {}).items():
        if key not in _KEYS:
            raise ValueError(f"'choose' has no condition {key!r}; its conditions are {', '.join(_KEYS)}")
        if not _usable(key, value):
            raise ValueError(f"{key!r} of 'choose' cannot be {value!r}; {_NEEDS.get(key, 'it is a text, or a list')}")
        if key == "not":
            checked_rule(value)
        if key == "having":
            known_keywords(value)
    return given


_NEEDS = {"contrast": "it is true or false", "thickness": "it is a number in mm, or [lowest, highest]",
          "slices": "it is a number, or [lowest, highest]", "number": "it is a whole number",
          "acquisition": "it is a whole number", "orientation": f"it is one of {', '.join(_ORIENTATIONS)}, or a list",
          "having": "it is a mapping such as {DiffusionBValue: 1000}", "not": "it is a mapping of conditions",
          "most": f"it is one of {', '.join(_MOST)}, or a list of them"}


def _usable(key: str, value: Any) -> bool:
    listed = value if isinstance(value, list | tuple) else [value]
    if key == "contrast":
        return isinstance(value, bool)
    if key in ("number", "acquisition"):
        return isinstance(value, int) and not isinstance(value, bool)
    if key in _RANGES:
        return all(isinstance(each, int | float) and not isinstance(each, bool) for each in listed) and (
            listed is not value or (len(listed) == 2 and listed[0] <= listed[1]))
    if key in ("having", "not"):
        return isinstance(value, Mapping) and bool(value)
    allowed = {"most": _MOST, "orientation": _ORIENTATIONS}.get(key)
    return bool(listed) and all(isinstance(each, str) and (allowed is None or each in allowed) for each in listed)
