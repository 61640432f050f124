"""The files of a cohort: where each is, and whether each can be read."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionkit.data import disk_cache as disk
from fusionkit.data import path_template
from fusionkit.data.companions import ALONE, Companions
from fusionkit.data.findings import Findings
from fusionkit.data.geometry.region import PatientBox, Region
from fusionkit.data.geometry.steps import shaped
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.intensities import halved
from fusionkit.data.item_choice import slices
from fusionkit.data.mask_files import options_of_reader, region_of
from fusionkit.data.processors import usable_processors
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError, is_decoder_failure
from fusionkit.data.table import Table
from fusionkit.errors import Diagnostic, Span, near
from fusionkit.files import check_regular
from fusionkit.progress import Progress

_MAX_LISTED = 20_000
# torch raises a RuntimeError with one of these.
_MEMORY = re.compile("can't allocate memory|DefaultCPUAllocator|out of memory", re.I)


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking a file: the shape of its array, and its metadata.

    Of several items `kept` says which there are, None for all.
    """

    shape: tuple[int, ...]
    facts: Facts
    kept: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class File:
    """One file to be read: its input, its row, its path, and what else its array depends on.

    `item` counts the files of one input and row.
    """

    spec: InputSpec
    row: int
    path: Path
    beside: Companions = ALONE
    item: int = 0

    @property
    def identity(self) -> tuple[object, ...]:
        """What two rows share that read the same: input, path, companions, and options that are filled in by row."""
        filled = type(self.spec.options).filled
        return self.spec.name, self.path, self.beside, *(getattr(self.spec.options, name) for name in filled)


def locate(spec: InputSpec, table: Table, ids: Sequence[str], findings: Findings) -> tuple[
        list[Path | None], frozenset[int]]:
    """The path of an input for every row, None where the case has none; and the rows with a wrong path.

    An input without a path, which a reader takes from the table, has none.

    The errors are `missing-file`, `missing-folder`, `path-outside`, `bad-path` and `not-a-file`.
    """
    if not spec.template:
        return [None] * len(table), frozenset()
    if folder_missing(spec, findings):
        return [None] * len(table), frozenset(range(len(table)))
    names = path_template.columns(spec.template)
    cells = [table.cells(name) for name in names]
    paths: list[Path | None] = []
    wrong, outside = set(), []
    for row in range(len(table)):
        filled = dict(zip(names, (column[row] for column in cells), strict=True))
        path = None
        try:
            path = _locate(spec, filled)
        except PlaceError as fault:
            wrong.add(row)
            span = table.span(row, path_template.column_of(spec.template, filled, fault.part)) if filled else None
            if isinstance(fault.__cause__, path_template.OutsideError):
                outside.append((row, span, fault.__cause__))
                continue
            message = f"case {ids[row]!r}, input {spec.name!r}: {fault.message}"
            findings.add(Diagnostic(fault.code, message, span or spec.template_span, fault.why, fault.fix), spec.name)
        finally:
            paths.append(path)
    if outside:
        findings.add(_outside(spec, outside, ids), spec.name)
    return paths, frozenset(wrong)


def _outside(spec: InputSpec, found: Sequence[tuple[int, Span | None, path_template.OutsideError]], ids: Sequence[str]
             ) -> Diagnostic:
    """One message for all cases of an input with files outside the allowed folders, since they have one fix."""
    row, span, first = found[0]
    more = f", and those of {len(found) - 1} more cases" if len(found) > 1 else ""
    return Diagnostic("path-outside", f"case {ids[row]!r}, input {spec.name!r}: {first.message}{more}",
                      span or spec.template_span, first.why,
                      path_template.outside_fix(spec.root, [each.target.parent for _, _, each in found]))


class PlaceError(ReadError):
    """A path that does not lead to a file; `part` counts the parts of the path up to the wrong one.

    `span` is where the path is written, if that is known.
    """

    part = 1 << 30
    span: Span | None = None


def folder_missing(spec: InputSpec, findings: Findings) -> bool:
    """Report once, not for every row, that the folder of all files does not exist."""
    folder = spec.root / path_template.fixed_folder(spec.template, "{" if spec.bag is None else "{*?[")
    if folder.exists() or spec.options.missing_ok or not path_template.columns(spec.template):
        return False
    match = near(folder.name, _names(folder.parent))
    findings.add(Diagnostic("missing-folder", f"the folder {str(folder)!r} of input {spec.name!r} does not exist",
                            spec.template_span,
                            fix=f"did you mean {match!r}?" if match else "correct 'path', or put the files there"))
    return True


def _locate(spec: InputSpec, filled: dict[str, str]) -> Path | None:
    """The path of one row, None when the case has none."""
    relative = path_template.fill(spec.template, filled)
    return None if relative is None else existing(spec, relative)


def existing(spec: InputSpec, relative: str) -> Path | None:
    """The path of what is read, None where it does not exist and may be missing. Raises: PlaceError."""
    try:
        path = path_template.inside(spec.root, relative, spec.roots)
        if path.is_dir() and spec.source.folders:
            _refuse_links_out(spec, path)
            return path
        if path.is_file():
            return path
        if path.is_dir():
            raise PlaceError("not-a-file", f"{str(path)!r} is a folder", f"the reader {spec.reader!r} takes a file",
                              f"let 'path' name the file in it, for example '{spec.template}/NAME'")
        if path.exists():
            raise PlaceError("not-a-file", f"{str(path)!r} is neither a file nor a folder", fix="name a regular file")
    except OSError as problem:  # a name that is too long, a folder without permission
        raise PlaceError("bad-path", f"{relative!r} cannot be looked up", problem.strerror,
                          "correct the cell") from None
    except PlaceError:
        raise
    except ReadError as problem:
        raise PlaceError(problem.code, problem.message, problem.why, problem.fix) from problem
    if spec.options.missing_ok:
        return None
    raise _missing(spec, relative)


def _refuse_links_out(spec: InputSpec, folder: Path) -> None:
    """The files of a series folder must stay inside the folders that may be read like every other file."""
    with os.scandir(folder) as found:
        entries = list(found)
    links = sorted(entry.name for entry in entries if entry.is_symlink())
    if getattr(spec.options, "below", False):
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _refuse_links_out(spec, folder / entry.name)
    for name in links:
        path_template.inside(spec.root, os.path.relpath(folder / name, spec.root) if folder.is_relative_to(spec.root)
                             else str(folder / name), spec.roots)


def _missing(spec: InputSpec, relative: str) -> PlaceError:
    whole = spec.root / relative
    link = next((path for path in (*reversed(whole.parents), whole) if path.is_symlink() and not path.exists()), None)
    if link is not None:
        return PlaceError("missing-file", f"no file {str(whole)!r}", f"{str(link)!r} is a link to "
                           f"{str(link.readlink())!r}, which does not exist",
                           "fetch what it links to, for instance with `git annex get` or `datalad get`")
    folder, parts = spec.root, Path(relative).parts
    depth = 0
    while depth < len(parts) - 1 and (folder / parts[depth]).exists():
        folder, depth = folder / parts[depth], depth + 1
    part = parts[depth]
    match = _same_but_for_writing(part, _names(folder))
    where = "the data folder" if folder == spec.root else f"the folder {str(folder)!r}"
    problem = PlaceError(
        "missing-file", f"no file {str(spec.root / relative)!r}",
        f"{where} has no {part!r}" if folder.is_dir() else f"{str(folder)!r} is not a folder",
        f"did you mean {match!r}?" if match
        else "correct the cell, add the file, or write 'missing_ok: true' if cases may lack it"
        if spec.written == ("path",) else "correct the cell, add the file, or leave the cell blank")
    problem.part = depth
    return problem


def _same_but_for_writing(name: str, names: Sequence[str]) -> str | None:
    """A name that differs in case or extension only: a similar one is as likely the file of another case."""
    plain, stem = name.casefold(), name.casefold().split(".")[0]
    same = [other for other in names if other.casefold() == plain]
    return next(iter(sorted(same) or sorted(other for other in names if other.casefold().split(".")[0] == stem)), None)


def _names(folder: Path) -> list[str]:
    """The names in a folder; in a huge one only the first are searched for near matches."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [entry.name for _, entry in zip(range(_MAX_LISTED), entries, strict=False)]


def load(spec: InputSpec, path: Path, cache: Path | None, beside: Companions = ALONE) -> NDArray[np.float32]:
    """The array of one file, from the cache if possible, else read and cached.

    `beside` is what else it depends on.

    Raises: `ReadError` when the file cannot be read or holds values that are not finite; `RunError` when the cache
    cannot be written.
    """
    name = "" if cache is None else _key(spec, path, beside)
    found = None if cache is None else disk.load(cache, name)
    if found is not None:
        return found
    # The digest of the array takes about as long as decoding it, and only a cache would keep it.
    return (_decoded(spec, path, beside) if cache is None else _read(spec, path, beside, cache, name))[0]


def examine(spec: InputSpec, path: Path, cache: Path | None, beside: Companions = ALONE
            ) -> tuple[NDArray[np.float32], Facts]:
    """The array of one file as in `load`, and its metadata.

    Raises: as `load`.
    """
    name = "" if cache is None else _key(spec, path, beside)
    if cache is not None:
        array, facts = disk.load(cache, name, mapped=True), Facts.from_json(disk.load_facts(cache, name))
        if array is not None and facts is not None:
            return array, facts
    return _read(spec, path, beside, cache, name)


def _key(spec: InputSpec, path: Path, beside: Companions) -> str:
    try:
        return key_of(spec, path, beside)
    except OSError as problem:
        raise unreadable(problem) from None


def unreadable(problem: OSError) -> ReadError:
    """What is said of a file that the system does not give."""
    return ReadError("unreadable-file", f"it cannot be opened: {problem.strerror or problem}",
                     fix="check the file and its permissions")


def _read(spec: InputSpec, path: Path, beside: Companions, cache: Path | None, name: str
          ) -> tuple[NDArray[np.float32], Facts]:
    array, facts = _decoded(spec, path, beside)
    facts = facts.of_outcome(array)
    if cache is not None:
        disk.store(cache, name, array.astype(np.float16) if _half(spec) else array, facts.as_json())
    return array, facts


def _decoded(spec: InputSpec, path: Path, beside: Companions) -> tuple[NDArray[np.float32], Facts]:
    """The array of one file, and its metadata without that of the array."""
    try:
        check_regular(path)
        array, facts = spec.source.examine(path, options_of_reader(spec, beside), beside.image)
        _refuse_unusable(spec, array)
        part: Region | PatientBox | None = beside.box
        if beside.mask is not None and spec.region is not None:
            part = region_of(spec.region, beside.mask, facts)
        remarks = part.remarks if isinstance(part, Region) else ()
        array, facts = shaped(array, replace(facts, remarks=(*facts.remarks, *remarks)), spec.options, beside.target,
                              part)
        if spec.bag is not None and spec.bag.sliced:
            array, facts = slices(array, facts, spec.bag)
        if _half(spec):
            array = halved(array)
    except OSError as problem:
        raise unreadable(problem) from None
    except ReadError:
        raise
    except BaseException as problem:  # a damaged file can make a decoder raise anything
        if isinstance(problem, MemoryError) or _MEMORY.search(str(problem)):
            raise ReadError("too-large", "it does not fit into memory", fix="choose a smaller 'size' or crop it"
                            ) from None
        if not is_decoder_failure(problem):
            raise
        raise ReadError("unreadable-file", f"the reader {spec.reader!r} fails on it",
                        f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}",
                        "copy the file from its source again; if it opens elsewhere, please report it") from problem
    return array, facts


def _half(spec: InputSpec) -> bool:
    return getattr(spec.options, "store", None) == "half"


def key_of(spec: InputSpec, path: Path, beside: Companions = ALONE) -> str:
    """A hash of everything that the array of one file depends on; a changed file or setting gives another.

    Raises: OSError where a file cannot be looked up.
    """
    settings = spec.options.model_dump(mode="json", exclude={"path", "missing_ok"})
    if spec.bag is not None:
        settings["items"] = spec.bag.model_dump(mode="json", include={"items", "every", "neighbours"})
        settings["of"] = spec.settings()["of"]["read"]
    return disk.key(path, spec.reader, settings | beside.settings())


def is_empty_bag(shape: Sequence[int]) -> bool:
    """Whether these are the sizes of no tokens of some width, which an input of masked tokens may have."""
    return len(shape) >= 2 and shape[0] == 0 < min(shape[1:])


def _refuse_unusable(spec: InputSpec, array: NDArray[np.float32]) -> None:
    assert array.dtype == np.float32, f"reader {spec.reader!r} gave {array.dtype}; please report"
    if array.size == 0 and not is_empty_bag(array.shape):
        raise ReadError("empty-array", f"it has no values: its shape is {list(array.shape)}", fix="save it again")
    finite = np.isfinite(array)
    if not finite.all():
        bad = int(finite.size - np.count_nonzero(finite))
        fix = "write 'fill_nan: 0' or another value, or correct the file" if hasattr(
            spec.options, "fill_nan") and not np.isinf(array).any() else "correct the file"
        raise ReadError("not-finite", f"{bad} of {array.size} values are NaN or infinite", fix=fix)


def check_files(
    files: Sequence[File], table: Table, ids: Sequence[str], findings: Findings, *,
    cache: Path | None, workers: int | None, progress: Progress | None,
) -> dict[tuple[str, int, int], Checked]:
    """The results by input, row and item; every distinct file is read once, in threads, and every bad one reported."""
    checked: dict[tuple[str, int, int], Checked] = {}
    problems: dict[tuple[str, int, int], tuple[File, ReadError]] = {}
    users: dict[tuple[object, ...], list[File]] = defaultdict(list)
    for file in files:
        users[file.identity].append(file)
    for done, (first, result) in enumerate(_results([same[0] for same in users.values()], cache, workers), 1):
        for file in users[first.identity]:
            if isinstance(result, ReadError):
                problems[file.spec.name, file.row, file.item] = file, result
            else:
                checked[file.spec.name, file.row, file.item] = result
        if progress is not None:
            progress(done, len(users))
    for (name, row, _), (file, problem) in sorted(problems.items(), key=lambda pair: pair[0]):
        columns = path_template.columns(file.spec.template)
        span = table.span(row, columns[-1]) if columns else file.spec.template_span
        message = f"case {ids[row]!r}, input {name!r}, {str(file.path)!r}: {problem.message}"
        findings.add(Diagnostic(problem.code, message, span, problem.why, problem.fix), name)
    return checked


def _results(
    files: Sequence[File], cache: Path | None, workers: int | None
) -> Iterator[tuple[File, Checked | ReadError]]:
    def read(file: File) -> Checked | ReadError:
        try:
            array, facts = examine(file.spec, file.path, cache, file.beside)
            return Checked(array.shape, facts)
        except ReadError as problem:
            return problem

    pool = ThreadPoolExecutor(workers or min(8, usable_processors()), thread_name_prefix="fusionkit-files")
    try:
        futures: dict[Future[Checked | ReadError], File] = {pool.submit(read, file): file for file in files}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
