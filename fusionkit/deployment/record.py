"""What an exported folder says of its network: inputs, heads, form, and how it was compared with its run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fusionkit.components.task import Task
from fusionkit.data.signature import HeadTarget, InputNeed
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.files import formatted_json, inside, write_json
from fusionkit.registry.lookup import Registry
from fusionkit.registry.tasks import task_named

EXPORTED, FORMAT = "exported.json", "fusionkit-exported"
Form = Literal["onnx", "torch"]
Mask = Literal["cases", "tokens", "cells"] | None


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ExportedInput(_Plain):
    """An input of the network; `sizes` are without the batch axis, and the first one of masked tokens is None.

    `mask` says which mask the network takes beside it: of cases (B,), of tokens (B, N), of cells (B, c), or none.
    `joined` are the inputs with which it is joined voxel by voxel.
    """

    name: str
    sizes: tuple[int | None, ...]
    layout: str
    optional: bool = False
    masked: bool = False
    most: int | None = None
    known: bool = False
    joined: tuple[str, ...] = ()
    whole: bool = False
    mask: Mask = None

    @property
    def need(self) -> InputNeed:
        """The requirement on the data."""
        return InputNeed(self.sizes, self.optional, None, self.masked, self.most, self.known, self.layout,
                         frozenset(self.joined))


class ExportedHead(_Plain):
    """A head: the outputs of the network that it has beside its values.

    `valid`: a mask of the cases that have a result; `details`: further numbers of each case by name; `curve_times`: the
    times of its survival curves, of each network, `curve_steps` whether these are steps.
    """

    name: str
    task: str
    names: tuple[str, ...]
    valid: bool = False
    details: tuple[str, ...] = ()
    curve_times: tuple[tuple[float, ...], ...] = ()
    curve_steps: bool = True


class Parity(_Plain):
    """The largest difference between exported network and run over `cases` of the `part` of the run, by head.

    `method` is that between the exported values and those of the uncertainty method of the run, which is not exported.
    """

    part: str
    cases: int
    values: dict[str, float]
    method: dict[str, float] = {}


class SeenInTraining(_Plain):
    """Digests of the ids that the network was trained on, and of those that chose the epoch."""

    trained: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()


class Exported(_Plain):
    """The record. `networks` are files; the values of several are averaged. `left_out` says what is not exported.

    Of a cross-validation `folds` has the folder of each fold in place of networks, each with a record of its own; their
    results are averaged. `tta` are the views in which each case is seen. `beside` are further files of the folder.
    """

    name: str
    form: Form
    fusionkit: str
    torch: str
    opset: int | None
    networks: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    batch_size: int = Field(ge=1)
    inputs: tuple[ExportedInput, ...] = Field(min_length=1)
    heads: tuple[ExportedHead, ...] = Field(min_length=1)
    left_out: tuple[str, ...] = ()
    tta: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    seen: SeenInTraining = SeenInTraining()
    parity: Parity | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.networks) == bool(self.folds):
            raise ValueError("it names networks or folds, one of both")
        return self


class NamedHead:
    """A head of an exported network in results."""

    def __init__(self, head: ExportedHead, registry: Registry | None = None) -> None:
        self.name, self.names, self.task = head.name, head.names, head.task
        self.declared_task: Task = task_named(head.task, registry)

    @property
    def target(self) -> HeadTarget:
        """The target in the data, which may be unknown."""
        return HeadTarget(self.task, self.names, None, len(self.names), True, self.declared_task)


def is_exported(folder: str | PathLike[str]) -> bool:
    """Whether a folder holds an exported network."""
    return (Path(folder) / EXPORTED).is_file()


def write_record(folder: Path, record: Exported) -> None:
    """Save the record."""
    write_json(folder / EXPORTED, {FORMAT: 1, **record.model_dump(mode="json")})


def read_record(folder: Path) -> Exported:
    """The record in a folder.

    Raises: GraphError with `unreadable-export` where it is none, or names files outside its folder.
    """
    path = folder / EXPORTED
    try:
        found = Exported.model_validate(formatted_json(path, FORMAT))
        for name in (*found.networks, *found.folds, *found.beside):
            if inside(folder, name) is None:
                raise ValueError(f"it names {name!r}, which is outside its folder")
    except (OSError, ValueError) as error:
        first = error.errors(include_url=False)[0] if isinstance(error, ValidationError) else None
        raise GraphError(Diagnostic(
            "unreadable-export", f"cannot read {str(path)!r}",
            why=f"{'.'.join(map(str, first['loc'])) or 'the top'}: {first['msg']}" if first else str(error),
            fix="export the run again: fusionkit export RUN -o DIR")) from None
    return found


def digest_of(case: str) -> str:
    """The digest by which an id is found again; ids themselves are not exported."""
    return hashlib.blake2b(case.encode("utf-8", "surrogatepass"), digest_size=12, person=b"fusionkit-case").hexdigest()


def digests_of(cases: Iterable[str]) -> tuple[str, ...]:
    """Those of several ids, sorted so that they tell nothing by their order."""
    return tuple(sorted(digest_of(case) for case in cases))
