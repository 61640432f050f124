"""The check of a reader: its sample reads alike every time, and a damaged file is refused, never a crash."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fusionkit.components.config import Config
from fusionkit.components.reader import Reader
from fusionkit.data.geometry.steps import left_to_geometry, shaped
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import FileOptions, FileReader, ReadError, is_decoder_failure, show_sizes
from fusionkit.data.signature import fits
from fusionkit.testing.checks.whole_readers import REFUSE, damages, first_line, whole_reader
from fusionkit.testing.faults import Fault

_THREADS = 4


def reader(component: Reader, config: Config) -> Fault | None:
    """What is wrong with a reader under some options; a ReadError for its sample is, with the default options only."""
    if component.whole:
        return whole_reader(component, config)
    if not isinstance(config, FileOptions):
        return Fault("its options do not derive from FileOptions", "derive them from fusionkit.reading.FileOptions")
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "sample"
        folder.mkdir()
        path = component.sample(folder)
        if not path.exists() or folder not in path.parents:
            return Fault(f"'sample' gives {str(path)!r}, which is not in the folder", "write the file there")
        if path.is_dir() and not component.folders:
            return Fault("'sample' gives a folder, and the reader takes files", "give a file, or set folders=True")
        before = _contents(folder)
        try:
            return _read(component, config, path) or _unchanged(before, folder) or _damaged(component, config, path)
        except ReadError as error:
            if config != type(config).model_validate({"path": config.path}):
                return None
            return Fault(f"its sample is refused: {error.message} [{error.code}]", "write a sample that it reads")


def _read(component: Reader, config: FileOptions, path: Path) -> Fault | None:
    given = left_to_geometry(config)
    array, facts = component.module(path, given)
    fault = _array(array, facts)
    if fault:
        return fault
    sizes, shape = FileReader(component).shape(config), shaped(array, facts, config)[0].shape
    if sizes is not None and not fits(sizes, shape):
        return Fault(f"'shape' says {show_sizes(sizes)}, and the array is {list(shape)}",
                     "give None for what only the file tells")
    with ThreadPoolExecutor(_THREADS) as pool:
        again = list(pool.map(lambda _: component.module(path, given), range(_THREADS)))
    if any(not np.array_equal(array, other) or facts != more for other, more in again):
        return Fault("it reads one file differently in several threads, or a second time",
                     "depend on the file and the options alone, and keep no state")
    if Facts.from_json(facts.as_json()) != facts:
        return Fault("its facts change when they are saved", "give plain numbers and texts in fusionkit.reading.Facts")
    advice = FileReader(component).advise(config, [facts.of_outcome(array)] * 2)
    wrong = [each for each in advice if not set(each.cases) <= {0, 1} or not each.cases]
    return Fault(f"the advice {wrong[0].code!r} is of files that are not there: {wrong[0].cases}",
                 "give the positions of the files, counted from 0") if wrong else None


def _array(array: object, facts: object) -> Fault | None:
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        return Fault(f"it gives {getattr(array, 'dtype', type(array).__name__)}", "give a numpy array of float32")
    if not array.size or not np.isfinite(array).all():
        return Fault(f"its sample is {list(array.shape)} with {int((~np.isfinite(array)).sum())} values that are not "
                     "finite", "write a sample of finite numbers")
    if not isinstance(facts, Facts):
        return Fault(f"beside the array it gives {type(facts).__name__}", "give fusionkit.reading.Facts()")
    if facts.grid is not None and facts.grid.shape != array.shape[1:]:
        return Fault(f"its grid is of {list(facts.grid.shape)} voxels, and the array is {list(array.shape)}",
                     "give the grid of the array that it returns: Grid.of_file(affine, array.shape[1:])")
    return None


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _unchanged(before: dict[Path, bytes], folder: Path) -> Fault | None:
    return None if _contents(folder) == before else Fault("reading changes the files", "open them for reading only")


def _damaged(component: Reader, config: FileOptions, path: Path) -> Fault | None:
    """Files that are cut off or overwritten may be read or refused, but must not end in another exception."""
    file = path if path.is_file() else next(each for each in sorted(path.rglob("*")) if each.is_file())
    whole = file.read_bytes()
    for how, damaged in damages(whole):
        file.write_bytes(damaged)
        try:
            component.module(path, left_to_geometry(config))
        except ReadError:
            continue
        except BaseException as error:
            if not is_decoder_failure(error):
                raise
            return Fault(f"a file that is {how} ends in {type(error).__name__}: {first_line(error)}", REFUSE)
        finally:
            file.write_bytes(whole)
    return None
