"""Outputs of frozen nodes, computed once for all cases and cached on disk, memory-mapped."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit.comparison.frozen_nodes import owners
from fusionkit.data import case_files
from fusionkit.data.bag_files import files_of
from fusionkit.data.batch import Case, collate, pad
from fusionkit.data.dataset import CaseDataset, ColumnInput, PositionsInput, SequenceInput
from fusionkit.files import read_json, write_json
from fusionkit.layers.masking import fill_padding
from fusionkit.network.absence import tokens_valid
from fusionkit.network.model import FusionModel
from fusionkit.planning.write_graph import written
from fusionkit.progress import Progress
from fusionkit.runs.lock import LOCK, waited_for
from fusionkit.shapes.layouts import MaskedTokens, TokenAxis, counted, names_of
from fusionkit.training.checkpoint import digest
from fusionkit.training.objective import presence

FORMAT = 1
_SAVE_SECONDS = 10.0


@dataclass(frozen=True)
class Ragged:
    """Masked tokens of all cases, one after the other: `tokens` (all, ...), those of a case from its start on."""

    tokens: NDArray[np.float32]
    starts: NDArray[np.int64]

    def __getitem__(self, place: int) -> NDArray[np.float32]:
        return self.tokens[self.starts[place] : self.starts[place + 1]]


Arrays = Mapping[str, NDArray[np.float32] | Ragged]
"""Outputs of nodes by name, (cases, ...), or masked tokens."""


@dataclass(frozen=True)
class CachedFeatures:
    """Outputs of nodes by name, (cases, ...), and the position of every row of the cohort that has any."""

    arrays: Arrays
    places: Mapping[int, int]

    def of(self, name: str, rows: Sequence[int]) -> torch.Tensor:
        """One output for some rows: (rows, ...); masked tokens are padded with zeros to the longest."""
        array, places = self.arrays[name], [self.places[row] for row in rows]
        if isinstance(array, Ragged):
            return pad([torch.tensor(array[place]) for place in places])[0]
        return torch.tensor(array[places])


class CachedCases(CaseDataset):
    """The cases of a dataset with node outputs added to their inputs; only the inputs in `read` are loaded."""

    def __init__(self, cases: CaseDataset, known: CachedFeatures, names: Collection[str], read: Collection[str]
                 ) -> None:
        kept = {name: source for name, source in cases.inputs.items() if name in read}
        super().__init__(cases.ids, cases.rows, kept, cases.targets, cache=cases.cache, memory=cases.memory,
                         patients=cases.patients)
        self.known, self.names = known, tuple(names)
        self.there = {name: cases.present(name) for name in cases.inputs if name not in kept}
        self.left_out = {name: counts for name, counts in cases.counts.items() if name not in kept}
        self.ragged = tuple(name for name in names if isinstance(known.arrays[name], Ragged))

    def some(self, places: Sequence[int]) -> Self:
        """As for the cases themselves."""
        made = super().some(places)
        made.there = {name: [there[place] for place in places] for name, there in self.there.items()}
        return made

    def __getitem__(self, position: int) -> Case:
        case = super().__getitem__(position)
        place = self.known.places[self.rows[position]]
        case["inputs"].update({name: torch.tensor(self.known.arrays[name][place]) for name in self.names})
        case["present"].update({name: there[position] for name, there in self.there.items()})
        if self.ragged:
            case["masked"] = (*case.get("masked", ()), *self.ragged)
        if self.left_out:
            case["counts"] = {name: counts.get(self.rows[position], 0) for name, counts in self.left_out.items()}
        return case

    @property
    def counts(self) -> dict[str, Mapping[int, int]]:
        """As of the cases themselves, those that are not read included."""
        return super().counts | self.left_out


@dataclass(frozen=True)
class Source:
    """How outputs are computed: the network, the cases, the batch size, and the device."""

    model: FusionModel
    cases: CaseDataset
    batch_size: int
    device: torch.device


def compute(source: Source, names: Sequence[str], folder: Path, progress: Progress | None = None
            ) -> CachedFeatures | None:
    """The outputs of some nodes for every case, from `folder` if they were computed before.

    A computation that was killed resumes after its last saved part. None if the disk is too small, or if they cannot
    be stored exactly: outputs that are not float32, or not contiguous.
    """
    places = {name: folder / f"{_key(source, name)}.npy" for name in names}
    if any(not place.is_file() for place in places.values()):
        with waited_for(folder / LOCK):  # another job may be computing the same
            missing = [name for name in names if not places[name].is_file()]
            if missing and not _fill(source, missing, places, progress):
                return None
    arrays: dict[str, NDArray[np.float32] | Ragged] = {}
    for name, place in places.items():
        array, starts = np.load(place, mmap_mode="r", allow_pickle=False), _starts(source, name)
        arrays[name] = array if starts is None else Ragged(array, starts)
    return CachedFeatures(arrays, {row: place for place, row in enumerate(source.cases.rows)})


def _fill(source: Source, names: Sequence[str], places: Mapping[str, Path], progress: Progress | None) -> bool:
    source.model.to(source.device).eval()
    rows = len(source.cases)
    first = results_of(source, names, range(min(source.batch_size, rows)))
    if any(part.dtype != torch.float32 or not part.is_contiguous() for part in first.values()):
        return False
    folder = places[names[0]].parent
    folder.mkdir(parents=True, exist_ok=True)
    asides = {name: places[name].with_suffix(".part") for name in names}
    note = places[names[0]].with_suffix(".json")
    done = _done(note, asides)
    starts = {name: _starts(source, name) for name in names}
    sizes = {name: (rows, *first[name].shape[1:]) if (of := starts[name]) is None else
             (int(of[-1]), *first[name].shape[2:]) for name in names}
    if not done and sum(4 * math.prod(size) for size in sizes.values()) * 1.1 > shutil.disk_usage(folder).free:
        return False
    arrays = {name: np.lib.format.open_memmap(asides[name], "r+" if done else "w+", np.float32,
                                              None if done else sizes[name]) for name in names}
    saved = time.perf_counter()
    while done < rows:
        several = range(done, min(done + source.batch_size, rows))
        for name, part in (first if several.start == 0 else results_of(source, names, several)).items():
            if (of := starts[name]) is None:
                arrays[name][several.start : several.stop] = part.cpu().numpy()
            else:
                real = torch.arange(part.shape[1]) < torch.from_numpy(np.diff(of)[several]).unsqueeze(1)
                arrays[name][of[several.start] : of[several.stop]] = part.cpu()[real].numpy()
        done = several.stop
        if progress:
            progress(done, rows)
        if time.perf_counter() - saved > _SAVE_SECONDS or done == rows:
            for array in arrays.values():
                array.flush()
            write_json(note, {"rows": done, "parts": [path.name for path in asides.values()]})
            saved = time.perf_counter()
    for name in names:
        asides[name].replace(places[name])
    note.unlink(missing_ok=True)
    return True


def _tokens(source: Source, name: str) -> TokenAxis | None:
    """Whose masked tokens an output has, None if it has none."""
    shape = next(value.shape for node in source.model.plan.nodes for value in node.values if value.name == name)
    return shape.of if isinstance(shape, MaskedTokens) else None


def _starts(source: Source, name: str) -> NDArray[np.int64] | None:
    """Where the masked tokens of each case start among those of all, and the end; None if the output has none."""
    of = _tokens(source, name)
    if of is None:
        return None
    known = {each: source.cases.counts[each] for each in names_of(of)}
    return np.cumsum([0, *(counted(of, {each: counts.get(row, 0) for each, counts in known.items()})
                           for row in source.cases.rows)], dtype=np.int64)


def _done(note: Path, asides: Mapping[str, Path]) -> int:
    """How many rows an interrupted computation has saved."""
    try:
        kept = read_json(note)
        same = kept["parts"] == [path.name for path in asides.values()] and all(p.is_file() for p in asides.values())
        return int(kept["rows"]) if same else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


@torch.no_grad()
def results_of(source: Source, names: Collection[str], places: Sequence[int]) -> dict[str, torch.Tensor]:
    """The outputs of nodes for some cases, given by their positions in the dataset, as one batch: (B, ...) each.

    Padding of masked tokens is zeros.
    """
    batch = collate([source.cases[place] for place in places]).to(source.device)
    inputs = {value.name: batch.inputs[value.name] for value in source.model.plan.inputs}
    found = source.model.results_at(names, inputs, presence(source.model, batch))
    for name in names:
        if (of := _tokens(source, name)) is not None:
            found[name] = fill_padding(found[name], tokens_valid(of, batch.masks))
    return found


def _key(source: Source, name: str) -> str:
    """A hash of everything that one output depends on: graph, weights, prepared data, batch size and device."""
    plan, nodes, inputs = source.model.plan, set(), set()
    waiting = [name.partition(".")[0]]
    while waiting:
        node = waiting.pop()
        if node in source.cases.inputs:
            inputs.add(node)
        elif node not in nodes:
            nodes.add(node)
            waiting.extend(owners(plan.node(node)))
    graph = written(plan)
    weights = {key: value.cpu() for key, value in source.model.state_dict().items() if key.partition(".")[0] in nodes}
    key = json.dumps([FORMAT, torch.__version__, source.device.type, source.batch_size, name, list(source.cases.rows),
                      {node: graph["nodes"][node] for node in sorted(nodes)}, digest(weights),
                      {item: _data_key(source.cases, item) for item in sorted(inputs)}])
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _data_key(cases: CaseDataset, name: str) -> Any:
    item = cases.inputs[name]
    if isinstance(item, ColumnInput):
        return hashlib.sha256(item.vectors.tobytes() + item.present.tobytes()).hexdigest()
    if isinstance(item, SequenceInput):
        return [None if (array := item.arrays[row]) is None else hashlib.sha256(array.tobytes()).hexdigest()
                for row in cases.rows]
    if isinstance(item, PositionsInput):
        return [None if (found := item.positions.by_row[row]) is None else hashlib.sha256(found.tobytes()).hexdigest()
                for row in cases.rows]
    files = [files_of(item.of_row(row), row, item.paths[row], item.companions(row)) for row in cases.rows]
    keys = [[case_files.key_of(file.spec, file.path, file.beside) for file in several] for several in files]
    scale = [] if item.matching is None else [item.matching.scale]  # fitted to the training cases of a fold
    if item.spec.bag is None:
        return [*(several[0] if several else None for several in keys), *scale]
    return [None if cases.whole else item.spec.bag.most_evaluate, *keys, *scale]
