"""The folder of an explanation: tables and pictures under file names that are safe and distinct."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.evaluation.plots import style
from fusionkit.files import csv_text, replacing, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Folder:
    """The folder that everything is written to; `files` are the paths so far, relative to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[str] = []
        self._taken: set[str] = set()
        path.mkdir(parents=True, exist_ok=True)

    def picture(self, draw: Callable[[], Figure], *parts: str) -> str:
        """Draw a picture under a name made of `parts`; returns its path."""
        stem = self._stem(parts, ".png")
        with style.applied():
            (written,) = style.save(draw(), self.path / stem, (".png",))
        return self._kept(written)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], *parts: str) -> str:
        """Write a table as CSV under a name made of `parts`; returns its path."""
        path = self.path / f"{self._stem(parts, '.csv')}.csv"
        write_text(path, csv_text([header, *rows]))
        return self._kept(path)

    def heat(self, values: Floats, *parts: str) -> str:
        """Write a map of values of at least 0 under a name made of `parts`, in 255ths of its largest; returns its path.

        `values.npy` in the file, compressed, is uint8 of the map's shape. It is for programs that lay it over an image.
        """
        path = self.path / f"{self._stem(parts, '.npz')}.npz"
        most = float(values.max()) or 1.0
        with replacing(path) as aside, aside.open("wb") as stream:
            np.savez_compressed(stream, values=np.round(values / most * 255).astype(np.uint8))
        return self._kept(path)

    def _kept(self, path: Path) -> str:
        name = str(path.relative_to(self.path))
        self.files.append(name)
        return name

    def _stem(self, parts: Sequence[str], kind: str) -> str:
        """A safe file name; case and node names come from files, and two may differ in punctuation only."""
        plain = "-".join(re.sub(r"[^\w.-]+", "_", part).strip(".")[:60] or "_" for part in parts)
        stem, number = plain, 1
        while f"{stem}{kind}".lower() in self._taken:
            number += 1
            stem = f"{plain}-{number}"
        self._taken.add(f"{stem}{kind}".lower())
        return stem
