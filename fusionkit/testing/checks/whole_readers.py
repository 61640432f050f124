"""The check of a reader of all cases: its sample reads alike every time, and damaged files are refused by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.components.config import Config
from fusionkit.components.reader import Reader
from fusionkit.data.case_files import locate
from fusionkit.data.description import describe
from fusionkit.data.findings import Findings
from fusionkit.data.readers.cohort_reader import CohortCases, CohortOptions, Sequences
from fusionkit.data.readers.reader import ReadError, is_decoder_failure
from fusionkit.data.sequences import cases_of
from fusionkit.data.table import read_table_and_faults
from fusionkit.errors import FusionkitError
from fusionkit.registry.lookup import discover
from fusionkit.testing.faults import Fault

REFUSE = "raise fusionkit.reading.ReadError(code, message, why, fix)"


def whole_reader(component: Reader, config: Config) -> Fault | None:
    """What is wrong with a reader of all cases under some options, which its sample need not fit."""
    if not isinstance(config, CohortOptions):
        return Fault("its options do not derive from CohortOptions",
                     "derive them from fusionkit.reading.CohortOptions")
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "sample"
        folder.mkdir()
        path = component.sample(folder)
        try:
            cases, written = _study(component, path)
            found = component.module(cases, written)
        except (ReadError, FusionkitError) as error:
            return Fault(f"its sample is refused: {first_line(error)}", "write a study that it reads")
        fault = _wrong(component, found, cases) or _again(component, cases, written, found)
        fault = fault or _options(component, cases, config) or _damaged(component, cases, written)
        return fault


def _study(component: Reader, path: Path) -> tuple[CohortCases, Any]:
    """The cases of a sample, and the options of the input that the reader is for."""
    installed = discover()
    description = describe(path, registry=installed if component.id in installed.ids else
                           discover(components=[component]))
    table, _ = read_table_and_faults(description.cases, description.blank)
    spec = next(spec for spec in description.inputs.values() if spec.reader == component.name)
    ids = table.cells(description.id)
    cells = {column: table.cells(column) for column in table.columns}
    files, _ = locate(spec, table, ids, Findings())
    cases = cases_of(spec, files, range(len(table)), table=table, ids=ids)
    return replace(cases, cells=cells), spec.options


def _wrong(component: Reader, found: object, cases: CohortCases) -> Fault | None:
    if not isinstance(found, Sequences):
        return Fault(f"it gives {type(found).__name__}", "give fusionkit.reading.Sequences")
    if found.faults:
        return Fault(f"its sample has a fault: {found.faults[0].error.message}", "write a study that it reads")
    if len(found.arrays) != len(cases.ids):
        return Fault(f"it gives {len(found.arrays)} arrays for {len(cases.ids)} cases", "give one for each row")
    there = [array for array in found.arrays if array is not None]
    if not there:
        return Fault("no case of its sample has the input", "write a study of a few cases that have it")
    for array in there:
        if component.gives != "text":
            width = {"events": 3, "tokens": found.kinds}.get(component.gives, 2 * found.kinds + 1)
            if array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] != width or not array.size:
                return Fault(f"it gives {array.dtype} {list(array.shape)}", f"give floating (n, {width}), and None "
                             "where n would be 0")
            continue
        if array.dtype != np.int64 or array.ndim != 1 or not array.size:
            return Fault(f"it gives {array.dtype} {list(array.shape)}", "give int64 (n,), and None where n would be 0")
        if array.min() < 0 or array.max() >= found.kinds:
            return Fault(f"it gives ids from {array.min()} to {array.max()}, and says there are {found.kinds}",
                         "give ids from 0 to below 'kinds'")
    return None


def _again(component: Reader, cases: CohortCases, options: Any, found: Sequences) -> Fault | None:
    other = component.module(cases, options)
    same = all((one is None and two is None) or (one is not None and two is not None and np.array_equal(
        one, two, equal_nan=one.dtype.kind == "f"))
               for one, two in zip(found.arrays, other.arrays, strict=True))
    return None if same and found.record == other.record else Fault(
        "it reads one study differently a second time", "depend on the cases and the options alone, and keep no state")


def _options(component: Reader, cases: CohortCases, config: CohortOptions) -> Fault | None:
    """With other options the sample may be refused, but must not end in another exception."""
    try:
        component.module(cases, config)
    except (ReadError, KeyError):  # a column that the sample does not have
        return None
    except Exception as error:
        return Fault(f"with {config} its sample ends in {type(error).__name__}: {first_line(error)}", REFUSE)
    return None


def _damaged(component: Reader, cases: CohortCases, options: Any) -> Fault | None:
    for option, file in [*cases.placed.items(), *(("path", file) for file in cases.files[:1] if file is not None)]:
        whole = file.read_bytes()
        for how, contents in damages(whole):
            file.write_bytes(contents)
            try:
                component.module(cases, options)
            except ReadError:
                continue
            except BaseException as error:
                if not is_decoder_failure(error):
                    raise
                return Fault(f"a file of {option!r} that is {how} ends in {type(error).__name__}: {first_line(error)}",
                             REFUSE)
            finally:
                file.write_bytes(whole)
    return None


def damages(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Ways to damage a file, each in words and with the contents."""
    yield "empty", b""
    for part in (3, 2):
        yield f"cut off after 1/{part}", whole[: len(whole) // part]
    generator = np.random.default_rng(0)
    for number in range(8):
        bytes_: NDArray[Any] = np.frombuffer(whole, np.uint8).copy()
        places = generator.integers(0, len(bytes_), 1 + len(bytes_) // 64)
        bytes_[places] = generator.integers(0, 256, len(places))
        yield f"overwritten in {len(places)} places (no. {number})", bytes_.tobytes()


def first_line(error: BaseException) -> str:
    """The first line of an error, cut short."""
    return str(error).partition("\n")[0][:200]
