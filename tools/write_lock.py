"""Writes requirements.lock: what `fusionkit[export,serve]` needs, each at the version installed here, with hashes.

    python -m pip install uv && python tools/write_lock.py

Run it where the tests have passed. For Linux on x86-64, with the Python that runs it; hashes are those of the package
index that uv is set up for, which the file does not name.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"


def main() -> None:
    """Resolve, with what is installed as constraints."""
    installed = sorted({f"{each.name}=={each.version.partition('+')[0]}" for each in distributions()
                        if each.name != "fusionkit"})
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "installed.txt"
        constraints.write_text("\n".join(installed), encoding="utf-8")
        subprocess.run(  # noqa: S603
            [sys.argv[1] if len(sys.argv) > 1 else "uv", "pip", "compile", "pyproject.toml", "--extra", "export",
             "--extra", "serve", "--generate-hashes", "--no-header", "--no-annotate", "--quiet", "--python-version",
             f"{sys.version_info.major}.{sys.version_info.minor}", "--constraint", str(constraints), "--output-file",
             str(LOCK)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
