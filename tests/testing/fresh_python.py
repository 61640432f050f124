"""An environment of its own for a test: a Python that sees what is installed here, and that pip installs into."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import fusionkit

_SEVERAL = """
import contextlib, io, json, sys
from fusionkit.cli.parser import main
printed = []
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = main(command)
    assert code == 0, (command, code, output.getvalue())
    printed.append(output.getvalue())
print(json.dumps(printed))
"""


class Environment:
    """A folder with a Python of its own, in which commands are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
        self.python = folder / "env" / "bin" / "python"
        places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
        lines = [f"import site; site.addsitedir({place!r})" for place in sorted(places)]
        lines.append(str(Path(fusionkit.__file__).parents[1]))
        here = self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        (Path(here) / "outside.pth").write_text("\n".join(lines) + "\n")

    def run(self, *arguments: str, code: int = 0) -> str:
        outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run([str(self.python), *arguments], cwd=self.folder, capture_output=True, text=True,
                              check=False, env=outside | {"OMP_NUM_THREADS": "1"})
        assert done.returncode == code, f"{' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def fusionkit(self, *arguments: str) -> dict:
        return json.loads(self.run("-m", "fusionkit", *arguments, "--json"))

    def commands(self, *commands: Sequence[str]) -> list[dict]:
        """Several commands in one process: most of the time of a short one goes by in importing torch."""
        printed = self.run("-c", _SEVERAL, json.dumps([[*command, "--json"] for command in commands]))
        return [json.loads(line) for line in json.loads(printed.splitlines()[-1])]

    def refused(self, *arguments: str) -> dict:
        """What a command prints as JSON that refuses its input."""
        return json.loads(self.run("-m", "fusionkit", *arguments, "--json", code=2))

    def install(self, *folders: str | Path) -> None:
        """Packages by their folders, as their authors install them: offline, and none that they depend on."""
        parts = [part for folder in folders for part in ("-e", str(folder))]
        self.run("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
                 "--disable-pip-version-check", *parts)
