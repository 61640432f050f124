"""A folder of folds as what predicts: its runs."""

from __future__ import annotations

import re
from pathlib import Path

from fusionkit.errors import DataError, Diagnostic, GraphError
from fusionkit.files import plain_json
from fusionkit.registry.lookup import Registry
from fusionkit.runs.cases_record import CASES
from fusionkit.runs.folder import RUN, Run, open_run

_NUMBER = re.compile("fold-[0-9]{1,5}")


def fold_folders(folder: Path) -> list[Path]:
    """The folders of the folds in their order; none for the folder of a single run, or of none."""
    if (folder / RUN).is_file():
        return []
    numbers = sorted(int(path.name.removeprefix("fold-")) for path in folder.glob("fold-*")
                     if _NUMBER.fullmatch(path.name) and path.is_dir())
    planned = (plain_json(folder / CASES) or {}).get("folds")
    count = max(len(planned) if isinstance(planned, list) else 0, max(numbers, default=-1) + 1)
    return [folder / f"fold-{number}" for number in range(count)] if numbers else []


def open_runs(folder: Path, fold: int | None, registry: Registry | None = None) -> list[Run]:
    """The run in a folder, or those of all its folds, or that of one fold.

    Raises: GraphError with `no-run` when it is none or one did not finish, DataError with `no-fold`, and what `load`
    raises.
    """
    folds = fold_folders(folder)
    if fold is not None:
        if not 0 <= fold < len(folds):
            raise DataError(Diagnostic("no-fold", f"there is no fold {fold} in {str(folder)!r}",
                                       why=f"it holds {len(folds)} folds, counted from 0" if folds else
                                       "it holds no folds", fix="leave --fold out, or name one that is there"))
        return [open_run(folds[fold], registry)]
    if not folds:
        return [open_run(folder, registry)]
    unfinished = [path.name for path in folds if not (path / RUN).is_file()]
    if unfinished:
        done = next((number for number, path in enumerate(folds) if (path / RUN).is_file()), None)
        alone = "" if done is None else f", or use one that is finished: --fold {done}"
        raise GraphError(Diagnostic("no-run", f"{str(folder)!r} holds folds that are not finished: "
                                    f"{', '.join(unfinished)}", fix=f"go on with them: fusionkit train ... --resume"
                                    f"{alone}"))
    return [open_run(path, registry) for path in folds]
