"""The built wheel: it holds the catalogue and the published graphs, and works where there is no checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes over ten seconds: a copy of the whole source is built by a process of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    kept = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                          capture_output=True, check=True).stdout.split(b"\0")
    for name in (Path(os.fsdecode(part)) for part in kept if part):
        if (ROOT / name).is_file() and not name.parts[0].startswith("tests"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)],
                   check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_what_an_installation_needs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    graphs = {f"fusionkit_plugins/graphs/{path.name}" for path in (ROOT / "plugins" / "graphs").glob("*.yaml")}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fusionkit").rglob("*.py")}
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fusionkit").rglob("templates/*")}
    wanted = {"fusionkit_plugins/registry.yaml", "fusionkit/datasets/assets/organs.npz", "fusionkit/py.typed"}
    assert templates and graphs | modules | templates | wanted <= names
    assert not {name for name in names if name.startswith(("tests/", "tools/", "benchmarks/"))}


def test_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Unpacked in front of the installed packages, as pip would lay it out, and run from another folder."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = ("import sys, fusionkit, fusionkit_plugins; from fusionkit.cli.parser import main\n"
            "assert fusionkit.__file__.startswith(sys.argv[1]), fusionkit.__file__\n"
            "assert fusionkit_plugins.__file__.startswith(sys.argv[1]), fusionkit_plugins.__file__\n"
            "sys.exit(main(sys.argv[2:]))")
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-c", code, str(site), *arguments], cwd=tmp_path, env=environment,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = json.loads(run("plugins", "list", "--json"))
    assert "fusion.gmu" in {entry["id"] for entry in listed["components"]}
    assert "organs" in listed["graphs"]
    assert json.loads(run("build", "organs", "--json"))["heads"]["organ"]["task"] == "multiclass"
