"""What a case does, and the verdict on it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import resource
import time
import traceback
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

MOST_CPU_SECONDS = 20.0
MOST_MEMORY = 1 << 30
"""The CPU time that a case may take, and the bytes by which it may raise the highest memory of its process."""
MOST_TEXT = 20_000
"""The characters that one finding may have."""

Verdict = Literal["accepted", "refused", "escape"]
Step = Callable[[], "Outcome"]

_CODE = re.compile(r" \[([a-z][a-z0-9]*(?:-[a-z0-9]+)*)\]$", re.MULTILINE)
_PLACE = re.compile(r'File "[^"]*?((?:fusionkit|plugins)/[^"]+)", line \d+, in (\S+)')
_TRACE = "Traceback (most recent call last)"
_HARMLESS = set("\n\t\u200c\u200d")


@dataclass(frozen=True)
class Outcome:
    """How a case ended; `label` is the code of a refusal, or what kind of escape it is."""

    verdict: Verdict
    label: str = ""
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """The outcome as plain data."""
        return asdict(self)


ACCEPTED = Outcome("accepted")


def escape(label: str, detail: str = "") -> Outcome:
    """An outcome that is neither a result nor a good refusal."""
    return Outcome("escape", label, detail)


def judged(steps: Sequence[Step]) -> Outcome:
    """The outcome of a case: its first escape, else its first refusal. Time and memory are those of all steps."""
    began, memory = time.process_time(), _most_memory()
    outcomes = []
    for step in steps:
        outcomes.append(_guarded(step))
        if outcomes[-1].verdict == "escape":
            return outcomes[-1]
    seconds, grown = time.process_time() - began, _most_memory() - memory
    label = next((each.label for each in outcomes if each.label), "accepted")
    if seconds > MOST_CPU_SECONDS:
        return escape(f"slow, {label}", f"{seconds:.0f} s of CPU time")
    if grown > MOST_MEMORY:
        return escape(f"memory, {label}", f"{grown >> 20} MiB more")
    return next((each for each in outcomes if each.verdict == "refused"), ACCEPTED)


def _guarded(step: Step) -> Outcome:
    try:
        return step()
    except BaseException as error:  # whatever it is, it has escaped
        trace = traceback.format_exc()
        return escape(signature(type(error).__name__, trace), trace)


def command(*words: str) -> Step:
    """The step that runs a command of fusionkit in this process."""
    def step() -> Outcome:
        from fusionkit.cli.parser import main

        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                code = main([*words, "--verbose"])
            except SystemExit as end:  # a wrong argument
                code = end.code if isinstance(end.code, int) else 1
        return printed(code, output.getvalue(), errors.getvalue(), "--json" in words)

    return step


def printed(code: int, output: str, errors: str, is_json: bool) -> Outcome:
    """The verdict on what a command printed, its traceback on standard error included."""
    everything = f"{output}\n{errors}"
    acting = sorted({char for char in everything if _acts(char)})
    if acting:
        return escape("control characters", f"{', '.join(map(ascii, acting))}\n{everything}")
    message, _, trace = errors.partition(_TRACE)
    if code not in (0, 2):
        name = trace.rstrip().rpartition("\n")[2].partition(":")[0].rpartition(".")[2]
        return escape(signature(name or f"exit code {code}", trace), everything)
    if not is_json:
        return _of_text(code, message, everything)
    try:
        found = json.loads(output)
    except ValueError:
        return escape("no JSON", everything)
    return ACCEPTED if code == 0 else of_findings(
        [each for each in found["diagnostics"] if each["severity"] == "error"], everything)


def _of_text(code: int, message: str, everything: str) -> Outcome:
    if code == 0:
        return ACCEPTED
    codes = [found for found in _CODE.findall(message) if not found.startswith("warning")]
    if not codes:
        return escape("refused without a code", everything)
    return Outcome("refused", codes[0]) if "  fix: " in message else escape(f"no fix, {codes[0]}", everything)


def of_findings(findings: Sequence[dict[str, Any]], everything: str) -> Outcome:
    """The verdict on a refusal: each finding must have a code, a place and a fix, and may not be endless."""
    if not findings:
        return escape("refused without a finding", everything)
    for each in findings:
        code, message = each["code"], each["message"]
        if not each["fix"]:
            return escape(f"no fix, {code}", everything)
        if each["where"] is None and "'" not in message and '"' not in message:
            return escape(f"no place, {code}", everything)
        if len(message) + len(each["why"] or "") + len(each["fix"]) > MOST_TEXT:
            return escape(f"endless, {code}", everything)
    return Outcome("refused", findings[0]["code"])


def signature(name: str, trace: str) -> str:
    """The kind of an escape: the exception, and the innermost function of fusionkit that it came through."""
    places = _PLACE.findall(trace)
    return f"{name} in {':'.join(places[-1])}" if places else name


def _acts(char: str) -> bool:
    return char not in _HARMLESS and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _most_memory() -> int:
    """The highest memory of this process in bytes.

    Linux counts that of the process that started it as its own in `ru_maxrss`, but not in its status.
    """
    status = Path("/proc/self/status")
    found = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.M) if status.exists() else None
    return (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) << 10
