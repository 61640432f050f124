"""What an explanation is given: a view of the run, with its networks and cases, and a folder to write into."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.data.batch import Batch
from fusionkit.explanation.cases import CaseOutput, Cases
from fusionkit.explanation.network_view import NetworkView
from fusionkit.explanation.output_folder import Folder
from fusionkit.explanation.selection import ChosenCase, ExplainedHead
from fusionkit.planning.plan import PlannedHead
from fusionkit.progress import Progress

Prior = Callable[[PlannedHead], "Floats | None"]
Table = tuple[str, list[str], list[list[str]]]
"""A heading, the header, and the rows."""


@contextmanager
def silent(label: str) -> Iterator[Progress]:
    """Progress that nobody sees."""
    yield lambda done, total: None


@dataclass(frozen=True)
class RunPart:
    """Networks, and the cases that they explain; of a run of folds, those of one fold.

    Where there are several `networks`, their mean predicts: what can be averaged is averaged over them, and what
    cannot is shown of the first, with a note. `prior(head)` (K,) is the prediction for a case of which nothing is
    known: class frequencies or the mean in training, None if they are not known. `fold` is None without folds.
    `start` is the position of its first case among the cases of all parts.
    """

    networks: tuple[NetworkView, ...]
    cases: Cases
    prior: Prior
    start: int = 0
    fold: int | None = None

    @property
    def network(self) -> NetworkView:
        """The first network."""
        return self.networks[0]

    def batch(self, item: ChosenCase) -> Batch:
        """The tensors of one of its chosen cases, on the device: inputs (1, ...), and which are present (1,)."""
        return self.cases.batch(item.place, self.network.settings.chosen_device)

    def own(self, chosen: Sequence[ChosenCase]) -> list[ChosenCase]:
        """The chosen cases that are of this part, with their positions in it."""
        end = self.start + len(self.cases.ids)
        return [replace(item, place=item.place - self.start) for item in chosen if self.start <= item.place < end]


@dataclass(frozen=True)
class RunView:
    """A trained run as an explanation sees it.

    `parts` hold the networks, each with the cases that it explains; `cases` are those of all parts, one part after the
    other. `heads` are explained, each with the class that was asked for. `chosen` are the cases to show one by one;
    the cases that are `cases.tested` count for means and pictures of all. `folder` is where pictures and tables go.
    `progress(label)` is a context manager around long work; it gives a function of what is done and the total.
    """

    parts: tuple[RunPart, ...]
    cases: Cases
    heads: tuple[ExplainedHead, ...]
    chosen: tuple[ChosenCase, ...]
    folder: Folder
    progress: Callable[[str], AbstractContextManager[Progress]] = silent
    seed: int = 0
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    @property
    def network(self) -> NetworkView:
        """The first network of the first part; all are of one graph."""
        return self.parts[0].network

    @property
    def generator(self) -> np.random.Generator:
        """A generator of random numbers, the same at every call."""
        return np.random.default_rng(self.seed)

    def output(self, item: ChosenCase, part: RunPart | None = None) -> CaseOutput:
        """A head's result for a chosen case, or one of a part: which class is explained, its value, the truth."""
        return CaseOutput.of(self.heads, part.cases if part else self.cases, item)

    def note(self, text: str) -> None:
        """Tell the reader something, such as why a picture is left out."""
        self.notes.append(text)

    def show(self, heading: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table below the command."""
        self.tables.append((heading, list(header), [list(row) for row in rows]))
