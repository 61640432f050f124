"""What a network gave for its test cases, as a comparison keeps it: one file for each repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fusionkit.arrays import Floats
from fusionkit.files import replacing
from fusionkit.inference.predict import HeadResult
from fusionkit.runs.results import detailed


@dataclass(frozen=True)
class HeadOutputs:
    """One network's outputs of one head for its test cases that have a target and a result.

    Shapes: `rows` (N,) of the cohort, `targets` (N,) or (N, K), `values` (N, K). `details` are further numbers (N,)
    by name.
    """

    rows: NDArray[np.int64]
    targets: Floats
    values: Floats
    details: Mapping[str, Floats] = field(default_factory=dict)

    def of(self, rows: NDArray[np.int64]) -> HeadOutputs:
        """The outputs of some of the rows, in their order."""
        place = {int(row): index for index, row in enumerate(self.rows)}
        chosen = [place[int(row)] for row in rows]
        return HeadOutputs(rows, self.targets[chosen], self.values[chosen],
                           {name: part[chosen] for name, part in self.details.items()})


@dataclass(frozen=True)
class RepeatOutputs:
    """One repeat of one candidate: each head's outputs for all test cases, and the training time in seconds."""

    heads: Mapping[str, HeadOutputs]
    seconds: float


def joined(parts: Sequence[HeadOutputs]) -> HeadOutputs:
    """The outputs of several splits as one."""
    return HeadOutputs(
        np.concatenate([part.rows for part in parts]), np.concatenate([part.targets for part in parts]),
        np.concatenate([part.values for part in parts]),
        {name: np.concatenate([part.details[name] for part in parts]) for name in parts[0].details})


def tested(result: HeadResult, rows: NDArray[np.int64]) -> HeadOutputs:
    """The outputs of a head for cases with a target and a result; `rows` (N,) of the cohort."""
    use = result.valid & result.known
    return HeadOutputs(rows[use], result.targets[use].astype(np.float64), result.values[use].astype(np.float64),
                       {name: part[use] for name, part in detailed(result).items()})


def write_outcome(path: Path, outcome: RepeatOutputs) -> None:
    """Write the outputs of one repeat, atomically."""
    arrays: dict[str, NDArray[np.generic]] = {"seconds": np.float64(outcome.seconds).reshape(1)}
    for place, head in enumerate(outcome.heads.values()):
        arrays |= {f"{place}-rows": head.rows, f"{place}-targets": head.targets, f"{place}-values": head.values}
        arrays |= {f"{place}-details-{name}": part for name, part in head.details.items()}
    with replacing(path) as aside, aside.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def read_outcome(path: Path, heads: Sequence[str]) -> RepeatOutputs | None:
    """The saved outputs of a finished run; None if there are none or they cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            outputs = {name: HeadOutputs(
                kept[f"{place}-rows"], kept[f"{place}-targets"], kept[f"{place}-values"],
                {key.removeprefix(mark): kept[key] for key in kept if key.startswith(mark)})
                       for place, name in enumerate(heads) for mark in [f"{place}-details-"]}
            return RepeatOutputs(outputs, float(kept["seconds"][0]))
    except (OSError, ValueError, KeyError, BadZipFile):
        return None
