"""The keyword arguments that the verbs on runs share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from fusionkit.components.component import Component
from fusionkit.interface.console import Console
from fusionkit.interface.keywords import spell_out

Device = Literal["auto", "cpu", "cuda"]


class RunKeywords(TypedDict, total=False):
    """Options that the verbs on runs share: the uncertainty method, how the networks are run, components, output."""

    uncertainty: str | None
    """The id of the method that replaces the graph's."""
    tta: str | None
    """The views of test-time augmentation, such as `rotate` or `rotate,lr`; the cases as they are by default."""
    looped: bool
    """Whether samples are drawn one at a time, bit-identical to full passes. False by default."""
    memory: int | None
    """Megabytes that samples drawn in one batch may take; 256 by default."""
    device: Device
    """Where to compute; `auto` by default."""
    fold: int | None
    """Of a run of folds only this one, counted from 0; all of them when not given."""
    data_roots: Sequence[str | Path]
    """Folders outside that of the data file whose files may be read."""
    plugins: Sequence[str | Path]
    """Python files with your own components."""
    components: Sequence[Component]
    """Your own components."""
    quiet: bool
    """Whether to hide progress and warnings; False by default."""
    console: Console | None
    """Where they are shown."""


run_keywords = spell_out(RunKeywords, RunKeywords(
    uncertainty=None, tta=None, looped=False, memory=None, device="auto", fold=None, data_roots=(), plugins=(),
    components=(), quiet=False, console=None))
"""Gives a verb with `**options: Unpack[RunKeywords]` these keywords and their defaults."""
