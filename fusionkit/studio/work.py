"""Work that the page starts: trainings and other commands, each a process of its own with a folder of its own.

Everything is in files, so that a new studio shows what a former one started.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionkit.files import inside, opened, plain_json, read_text, write_json
from fusionkit.records.run_folders import CASES, GRAPH, HISTORY, RUN, folds_of, plain_yaml, read_row
from fusionkit.studio.graph_files import RefusedFileError, StudioFolder
from fusionkit.studio.runner import ENDED, JOB, LOG, STARTED, lives
from fusionkit.training.flags import FLAGS

PLACE = ".fusionkit/work"
ACTIVE = ("starting", "waiting", "running")
_WRITING = ("train", "demo", "inspect")
OF_RUNS = ("evaluate", "report", "explain")
"""Commands that the page starts on a finished run."""
_STARTING = 60.0
"""Seconds after which work whose process was never seen is lost."""
_MOST_LOG = 256 << 10
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_OUTPUT = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)*")
_REFUSED_SETTINGS = frozenset({"stage"})


class Work:
    """The work of a studio's folder; `plugins` are the files of components that every command gets."""

    def __init__(self, folder: StudioFolder, plugins: Sequence[str] = ()) -> None:
        self.folder = folder
        self.plugins = [str(Path(plugin).resolve()) for plugin in plugins]
        self._started: list[subprocess.Popen[bytes]] = []

    def jobs(self) -> list[dict[str, Any]]:
        """All work, the newest first."""
        self._started = [each for each in self._started if each.poll() is None]
        place = self._place()
        names = sorted((path.name for path in place.glob("*") if _ID.fullmatch(path.name)), reverse=True)
        return [job for name in names if (job := self._told(place / name)) is not None]

    def job(self, name: str) -> dict[str, Any]:
        """One work with its progress.

        Raises: RefusedFileError.
        """
        folder = self._folder(name)
        job = self._told(folder)
        if job is None:
            raise RefusedFileError(404, "not-found", f"there is no work {name!r}")
        output = inside(self.folder.path, job["output"]) if job["output"] else None
        return {**job, "progress": progress(output) if output is not None and job["command"] == "train" else None}

    def log(self, name: str, start: int) -> dict[str, Any]:
        """What the command wrote from a byte on; `next` is where to go on.

        Raises: RefusedFileError.
        """
        path = self._folder(name) / LOG
        try:
            with opened(path) as stream:
                size = stream.seek(0, os.SEEK_END)
                begin = max(min(start, size), size - _MOST_LOG)
                stream.seek(begin)
                raw = stream.read(_MOST_LOG)
        except (OSError, ValueError):
            return {"text": "", "next": 0}
        return {"text": raw.decode("utf-8", "replace"), "next": begin + len(raw)}

    def start(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Start a command; gives its work.

        Raises: RefusedFileError; TypeError or ValueError for what is no command of the page.
        """
        self._check_writing()
        resumed = given.get("command") == "resume"
        if resumed:
            given = self._unfinished(given)
        output = str(given["output"]) if resumed else (
            self._output(given) if given.get("command") in _WRITING else "")
        about = {"asked": dict(given), "output": output, **self._words(given, output)}
        if resumed:
            about["argv"].append("--resume")
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        folder = self._place() / name
        folder.mkdir(parents=True)
        write_json(folder / JOB, {**about, "begun": time.time()})
        self._run(folder)
        return self.job(name)

    def stop(self, name: str) -> dict[str, Any]:
        """Ask the command of a work to stop, as Ctrl-C does: a training writes its state and can be resumed.

        Raises: RefusedFileError.
        """
        self._check_writing()
        process = lives(self._folder(name))
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        return self.job(name)

    def resume(self, name: str) -> dict[str, Any]:
        """Go on with a training that was stopped, failed or was lost.

        Raises: RefusedFileError.
        """
        self._check_writing()
        job = self.job(name)
        if not job["resumable"]:
            raise RefusedFileError(409, "not-resumable", "only a training that has ended before its end is resumed")
        folder = self._folder(name)
        given = (plain_json(folder / JOB) or {}).get("asked")
        if not isinstance(given, dict) or given.get("command") != "train":
            raise RefusedFileError(409, "not-resumable", "its record does not say what was asked for")
        # The folder may come from others: the command is made anew, since one in a file could name code of theirs.
        output = self._place_of(given)
        about = {"asked": given, "output": output, **self._words(given, output)}
        self._refuse_busy(output)
        about["argv"].append("--resume")
        for file in (ENDED, STARTED):
            (folder / file).unlink(missing_ok=True)
        write_json(folder / JOB, {**about, "begun": time.time()})
        self._run(folder)
        return self.job(name)

    def _words(self, given: Mapping[str, Any], output: str) -> dict[str, Any]:
        """The command line of what was asked for, and the folder in which it runs."""
        command = given.get("command")
        if command == "train":
            argv = ["train", self._file(given, "graph"), self._file(given, "data"), "-o", f"./{output}",
                    *settings_flags(given.get("settings") or {})]
        elif command == "demo":
            argv = ["demo", f"./{output}", *(["--tables"] if given.get("tables") else [])]
        elif command == "inspect":
            argv = ["inspect", self._file(given, "data"), "-o", f"./{output}"]
        elif command in OF_RUNS:
            run = self.folder.folder(_text(given, "run"))
            place = f"./{run.relative_to(self.folder.path).as_posix()}"
            argv = [str(command), place]
            if command == "explain" and given.get("case") is not None:
                # Beside what was explained of all cases, which has what each input adds to every case.
                argv += [f"--case={_text(given, 'case')}", "--method=explanation.gradcam",
                         f"--output={place}/explain-{secrets.token_hex(3)}"]
        else:
            raise ValueError(f"{command!r} is no command of the page")
        if command != "demo":
            argv += [f"--plugin={plugin}" for plugin in self.plugins]
        return {"command": command, "argv": argv, "folder": str(self.folder.path)}

    def _run(self, folder: Path) -> None:
        """Start the runner of a work, in a session of its own, which ends with nothing of ours."""
        with (folder / LOG).open("ab") as log:
            self._started.append(subprocess.Popen(  # noqa: S603 - our own runner
                [sys.executable, "-m", "fusionkit.studio.runner", str(folder)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True))

    def _told(self, folder: Path) -> dict[str, Any] | None:
        about = plain_json(folder / JOB)
        if about is None or not isinstance(about.get("argv"), list):
            return None
        ended = plain_json(folder / ENDED)
        state = self._state(folder, about, ended)
        return {"id": folder.name, "command": str(about.get("command")), "state": state,
                "line": f"fusionkit {shlex.join(map(str, about['argv']))}", "output": str(about.get("output") or ""),
                "run": _run_of(about),
                "begun": about.get("begun"), "ended": (ended or {}).get("when"), "code": (ended or {}).get("code"),
                "resumable": about.get("command") == "train" and state in ("stopped", "failed", "lost")}

    def _state(self, folder: Path, about: Mapping[str, Any], ended: Mapping[str, Any] | None) -> str:
        if ended is not None:
            return "stopped" if ended.get("stopped") and ended.get("code") != 0 else (
                "done" if ended.get("code") == 0 else "failed")
        if lives(folder) is not None:
            return "running" if (folder / STARTED).is_file() else "waiting"
        if plain_json(folder / ENDED) is not None:  # it ended between the two looks
            return self._state(folder, about, plain_json(folder / ENDED))
        begun = about.get("begun")
        return "starting" if isinstance(begun, int | float) and time.time() - begun < _STARTING and not (
            folder / STARTED).is_file() else "lost"

    def _place(self) -> Path:
        place = inside(self.folder.path, PLACE)
        if place is None:
            raise RefusedFileError(403, "outside", f"{PLACE} leads out of the folder of the studio")
        return place

    def _folder(self, name: str) -> Path:
        if not _ID.fullmatch(name):
            raise RefusedFileError(404, "not-found", f"there is no work {name!r}")
        return self._place() / name

    def _check_writing(self) -> None:
        if not self.folder.write:
            raise RefusedFileError(403, "read-only", "the studio was started without --write")
        if os.name != "posix":
            raise RefusedFileError(403, "needs-posix", "work is started on Linux and macOS alone")

    def _file(self, given: Mapping[str, Any], key: str) -> str:
        """A graph or data file inside the folder, as an argument that is no option."""
        name = _text(given, key)
        self.folder.read(name)
        return f"./{name}"

    def _output(self, given: Mapping[str, Any]) -> str:
        """The folder that the command is to write, which is new or empty."""
        name = self._place_of(given)
        path = self.folder.path / name
        self._refuse_busy(name)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RefusedFileError(409, "folder-not-empty", f"{name!r} is there already: choose another name")
        return name

    def _unfinished(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The training that goes on with a run that a terminal began.

        The run has its graph with every setting; its data file is named by the page, and `train` refuses another one.
        """
        path = self.folder.folder(_text(given, "run"))
        row = read_row(path, self.folder.path)
        if row is None or row.kind not in ("run", "folds") or row.state != "unfinished":
            raise RefusedFileError(409, "not-resumable", "only a training that nobody is at is resumed" if row is None
                                   else f"the run is {row.state}, and only an unfinished one is resumed")
        graph = inside(self.folder.path, str((folds_of(path) or [path])[0] / GRAPH))
        if graph is None or not graph.is_file():
            raise RefusedFileError(409, "not-resumable", "the run has no graph yet: start it again")
        output = self._place_of({"output": path.relative_to(self.folder.path).as_posix()})
        self._refuse_busy(output)
        fold = (plain_json(path / CASES) or {}).get("fold")
        return {"command": "train", "graph": graph.relative_to(self.folder.path).as_posix(), "data": given.get("data"),
                "output": output, "settings": {"fold": fold} if isinstance(fold, int) else {}}

    def _place_of(self, given: Mapping[str, Any]) -> str:
        """A folder inside that of the studio."""
        name = _text(given, "output")
        if inside(self.folder.path, name) is None or not _OUTPUT.fullmatch(name):
            raise RefusedFileError(403, "outside", "the output is a folder inside that of the studio, of letters, "
                                   "digits, - and _")
        return name

    def _refuse_busy(self, output: str) -> None:
        if any(job["output"] == output and job["state"] in ACTIVE for job in self.jobs()):
            raise RefusedFileError(409, "folder-in-use", f"other work is writing {output!r}")


def settings_flags(given: Mapping[str, Any]) -> list[str]:
    """The settings of training as options of the command line; what they may be is what `train` takes.

    Raises: ValueError for a setting that there is not, or a value of another type.
    """
    known = {name: takes for name, takes, _ in FLAGS if name not in _REFUSED_SETTINGS}
    made = []
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"there is no setting {name!r}")
        flag, takes = f"--{name.replace('_', '-')}", known[name]
        if takes is bool:
            if not isinstance(value, bool):
                raise ValueError(f"{name} is true or false")
            made += [flag] if value else []
        else:
            made.append(f"{flag}={_checked(name, takes, value)}")
    return made


def _checked(name: str, takes: Any, value: Any) -> str:
    words, number = (takes[0], takes[1]) if isinstance(takes, tuple) and isinstance(takes[-1], type) else (
        (takes, None) if isinstance(takes, tuple) else ((), takes))
    if isinstance(value, str) and (value in words or number is str):
        return value
    fits = isinstance(value, int | float) and not isinstance(value, bool) and (
        number is float or (number is int and value == int(value)))
    if not fits:
        raise ValueError(f"{name} cannot be {value!r}")
    return str(int(value) if number is int else value)


def _run_of(about: Mapping[str, Any]) -> str:
    """The run that a command writes, or is about; '' where there is none."""
    asked = about.get("asked")
    of_run = asked.get("run") if isinstance(asked, dict) and about.get("command") in OF_RUNS else None
    return str(of_run or (about.get("output") if about.get("command") == "train" else None) or "")


def _text(given: Mapping[str, Any], key: str) -> str:
    found = given.get(key)
    if not isinstance(found, str) or not found:
        raise TypeError(f"{key} is a text")
    return found


def progress(output: Path) -> dict[str, Any]:
    """How far a training is, from the files that it writes after each epoch: folds, epochs of the newest, of how many.

    `of` is what the settings ask for; a training may end before. `network` counts from 1, as `fold` does.
    """
    folds = folds_of(output)
    now = folds[-1] if folds else output
    planned = (plain_json(output / CASES) or {}).get("folds")
    # Of several networks, which are trained one after the other, the last that has a folder is the one of now.
    member = max((int(path.name) for path in now.glob("members/*") if path.name.isdecimal()), default=0)
    newest = now / "members" / str(member) / HISTORY if member else now / HISTORY
    graph = plain_yaml(now / GRAPH) if (now / GRAPH).is_file() else {}
    asked = graph.get("training")
    epochs = asked.get("epochs") if isinstance(asked, dict) else None
    return {"fold": len(folds) if folds else None, "folds": len(planned) if isinstance(planned, list) and planned
            else None, "epoch": _lines(newest), "of": epochs, "network": member + 1,
            "networks": max(member + 1, _networks(graph, plain_json(now / CASES) or {})),
            "trained": (now / RUN).is_file()}


def _networks(graph: Mapping[str, Any], cases: Mapping[str, Any]) -> int:
    """How many networks a training has: those of its ensemble, or one for each part that is held out for stopping."""
    method = graph.get("uncertainty")
    options = method.get("with") if isinstance(method, dict) else None
    members = options.get("members") if isinstance(options, dict) else None
    held_out = cases.get("held_out")
    return members if isinstance(members, int) and members > 1 else len(held_out) if isinstance(held_out, list) else 1


def _lines(path: Path) -> int:
    try:
        return max(0, read_text(path).count("\n") - 1)
    except (OSError, ValueError):
        return 0
