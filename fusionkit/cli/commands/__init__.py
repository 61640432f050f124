"""One file per command: `SUMMARY`, `add_arguments(parser)`, and `run(args, console)`, which returns the exit code.

The file's name is the command's (`plugins_list` is `plugins list`): every file in this folder is a command. Heavy
imports go inside functions. `SUMMARY` is a plain string on one line: the list of commands is printed by reading that
line of each file, because importing all of them would take as long as starting Python itself.
"""

from __future__ import annotations

from ast import literal_eval
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

GROUPS = {
    "claims": "List published results, show them, and train what they are said to come from.",
    "plugins": "List, show, begin, check and catalogue plugins.",
    "weights": "Show the recipe of pretrained weights, convert checkpoints of released code, compare with its results.",
}
ORDER = (
    "new", "check", "inspect", "build", "train", "evaluate", "predict", "calibrate", "explain", "compare", "report",
    "export", "serve", "runs", "diff", "studio", "headers", "clean",
    "plugins_list", "plugins_show", "plugins_new", "plugins_check", "plugins_catalogue",
    "claims_list", "claims_show", "claims_run",
    "weights_show", "weights_convert", "weights_verify", "schema", "demo", "doctor",
)
"""The order in which `--help` lists the commands, that of a typical workflow; other commands come after these."""


def names() -> list[str]:
    """The files of this package, in the order of `--help`."""
    found = [module.name for module in iter_modules(__path__)]
    return sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def words(name: str) -> list[str]:
    """The words to type for the command of a file: `plugins_list` is `plugins list`."""
    group, _, rest = name.partition("_")
    return [group, rest.replace("_", "-")] if group in GROUPS else [name.replace("_", "-")]


def summary(name: str) -> str:
    """The `SUMMARY` of a file, read without importing it."""
    spec = find_spec(f"{__name__}.{name}")
    assert spec is not None and spec.origin is not None, "names() lists existing files; please report"
    with Path(spec.origin).open(encoding="utf-8") as lines:
        return str(literal_eval(next(line for line in lines if line.startswith("SUMMARY = ")).partition(" = ")[2]))
