"""What the jobs of a comparison may be, and the options of each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Literal, get_args

from fusionkit.errors import Diagnostic, UserError

Launcher = Literal["processes", "slurm", "ray"]
_PACKAGES = {"slurm": "submitit", "ray": "ray"}


def check_launcher(launcher: str, options: Sequence[str]) -> dict[str, Any]:
    """The options of a launcher that `partition=gpu`, `num_cpus=4` and the like ask for; numbers as such.

    Raises: UserError with `missing-package` without its package, or `bad-argument`.
    """
    if launcher not in get_args(Launcher):
        raise UserError(Diagnostic("bad-argument", f"--launcher cannot be {launcher!r}",
                                   fix=f"choose one of {', '.join(get_args(Launcher))}"))
    package = _PACKAGES.get(launcher)
    if package is None and options:
        raise UserError(Diagnostic("bad-argument", "processes of this machine have no --launcher-option",
                                   fix=f"give --launcher {' or '.join(_PACKAGES)} too, or leave it out"))
    if package is not None and find_spec(package) is None:
        raise UserError(Diagnostic("missing-package", f"--launcher {launcher} needs {package}, which is not installed",
                                   fix=f'pip install "fusionkit[{launcher}]"'))
    found: dict[str, Any] = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier() or not value:
            raise UserError(Diagnostic("bad-argument", f"--launcher-option cannot be {text!r}",
                                       fix="write NAME=VALUE, such as partition=gpu or time=240 for Slurm, num_cpus=4 "
                                           "for Ray"))
        found[name] = int(value) if value.isdecimal() else value
    return found
