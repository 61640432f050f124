"""Public names: written once, loaded late, and there for editors, type checkers, `dir` and star imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fusionkit
from fusionkit import api
from fusionkit.exports import homes

ROOT = Path(__file__).resolve().parent.parent
VERBS = ["build", "calibrate", "check", "compare", "evaluate", "explain", "load", "plan", "predict", "train"]


@pytest.mark.parametrize("module", [fusionkit, api], ids=["fusionkit", "fusionkit.api"])
def test_every_public_name_is_there_and_listed(module: object) -> None:
    name = module.__name__
    assert module.__all__ == sorted(homes(name))
    assert set(module.__all__) < set(dir(module))
    assert [public for public in module.__all__ if not hasattr(module, public)] == []
    with pytest.raises(AttributeError, match=rf"^{name} has no 'nothing'"):
        module.nothing  # noqa: B018 - the look-up is the point


def test_a_star_import_brings_the_verbs_and_the_errors() -> None:
    names: dict[str, object] = {}
    exec("from fusionkit import *", names)
    assert {*VERBS, "UserError", "optimize"} <= set(names)
    assert names["plan"] is fusionkit.plan


def test_importing_the_names_loads_nothing_heavy() -> None:
    code = ("import sys, fusionkit, fusionkit.api; dir(fusionkit), fusionkit.__all__\n"
            "from fusionkit.api import hookimpl\n"
            "print(*(n for n in ('torch', 'pydantic', 'numpy', 'rich', 'yaml') if n in sys.modules))")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == ""


def test_a_strict_type_checker_knows_every_name(tmp_path: Path) -> None:
    """Mypy reads fusionkit as a user's does; a few seconds on its cache, more without."""
    public = [name for name in fusionkit.__all__ if name.islower()]
    script = tmp_path / "script.py"
    script.write_text("\n".join(["import fusionkit", "from fusionkit.api import Config, Fusion",
                                 *(f"fusionkit.{name}" for name in public), "reveal_type(fusionkit.plan('a').rows())",
                                 "fusionkit.biuld('a')"]))
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"),
                           str(script)], capture_output=True, text=True, cwd=ROOT, check=False)
    # The errors of the user's file: those of fusionkit depend on the type stubs that are installed, and CI has its own.
    errors = [line for line in done.stdout.splitlines() if "script.py" in line and ": error: " in line]
    assert len(errors) == 1
    assert "biuld" in errors[0]
    assert "list[dict[str, Any]]" in done.stdout or "builtins.list[builtins.dict[builtins.str, Any]]" in done.stdout
