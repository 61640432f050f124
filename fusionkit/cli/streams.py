"""Standard streams of the command line when one of them is closed, and printed warnings of libraries."""

from __future__ import annotations

import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fusionkit.printable import printable

_WRITING = {"train", "compare", "evaluate", "explain", "calibrate", "demo"}


def keeps_results(command: str, args: Namespace) -> bool:
    """Whether a command writes its results to files, so that they exist even if they cannot be printed."""
    return command in _WRITING or bool(getattr(args, "output", None))


def open_streams() -> None:
    """Open missing standard streams on the null device.

    Otherwise the next opened file would get the number of a closed one, and prints of libraries would go into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # for the process


@contextmanager
def printable_warnings() -> Iterator[None]:
    """Warnings of libraries, which may quote files, without control characters."""
    plain: Any = warnings.formatwarning

    def formatted(*arguments: Any, **options: Any) -> str:
        return printable(plain(*arguments, **options))

    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = plain
