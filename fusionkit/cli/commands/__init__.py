"""One file a command: its `SUMMARY`, its `add_arguments(parser)`, and `run(args, console)`, which gives the exit code.

The file's name is the command's, `plugins_list` that of `plugins list`: a file that is put here is a command. Files
import what is heavy inside functions, for the parser reads all of them to print `fusionkit --help`.
"""

from __future__ import annotations

from pkgutil import iter_modules

GROUPS = {
    "plugins": "List, show, begin, check and catalogue plugins.",
    "weights": "Turn checkpoints of released code into weights for a graph, and compare results with theirs.",
}
ORDER = (
    "check", "build", "train", "evaluate", "predict", "calibrate", "explain", "compare",
    "plugins_list", "plugins_show", "plugins_new", "plugins_check", "plugins_catalogue",
    "weights_convert", "weights_verify", "schema", "demo", "doctor",
)
"""The order in which `--help` lists them, that of the work; a command that is not named here comes after these."""


def names() -> list[str]:
    """The files of this package, in the order of `--help`."""
    found = [module.name for module in iter_modules(__path__)]
    return sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def words(name: str) -> list[str]:
    """What one types for the command of a file: `plugins_list` is `plugins list`."""
    group, _, rest = name.partition("_")
    return [group, rest.replace("_", "-")] if group in GROUPS else [name.replace("_", "-")]
