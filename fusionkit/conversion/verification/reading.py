"""Reads fixture files: detects the form of a file and returns its case."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from fusionkit.conversion.verification import state_form, weights_form
from fusionkit.conversion.verification.case import Fixture
from fusionkit.errors import DataError, Diagnostic
from fusionkit.files import check_regular


def read_fixture(path: Path) -> Fixture:
    """The case of a file.

    Raises: DataError with `unreadable-fixture`.
    """
    try:
        check_regular(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        recorded = weights_form.recorded if "weights" in arrays else state_form.recorded
        return recorded(path.stem, arrays)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from None


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(Diagnostic("unreadable-fixture", f"{str(path)!r} is not a fixture", why=why,
                                fix="give an .npz file with the entries `meta` and `state`, or `config` and `weights`"))
