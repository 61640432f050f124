"""Renders docs/notebooks/*.py to pages with their outputs: plain Markdown, without Jupyter.

A script consists of cells. `# %% [markdown]` is text, `# %% [file NAME]` a file that is written and shown,
`# %% [shell]` commands of fusionkit, and `# %%` Python; all but Python are written as comments. Each script runs from
top to bottom in a fresh folder that holds the CSV files beside it.

Run: python tools/render_notebooks.py [NAME ...]
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusionkit.cli.parser import main as fusionkit
from fusionkit.files import write_text

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))


def page_of(script: Path) -> Path:
    """Where the page of a script lies."""
    return script.with_name(script.stem.replace("_", "-") + ".md")


def cells(text: str) -> Iterator[tuple[str, str]]:
    """Kind and content of each cell; comment signs are taken off, but for Python."""
    for cell in re.split(r"^# %%", text, flags=re.M)[1:]:
        head, _, body = cell.partition("\n")
        kind = head.strip().strip("[]")
        yield kind, (re.sub(r"^# ?", "", body, flags=re.M) if kind else body).strip("\n")


def render(script: Path) -> str:
    """The page of one script, run in a fresh folder."""
    note = f"[//]: # (Made from {script.name} by tools/render_notebooks.py; edit the script.)"
    parts, scope = [], {"__name__": script.stem}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for table in FOLDER.glob("*.csv"):
            shutil.copy(table, folder)
        for kind, body in cells(script.read_text(encoding="utf-8")):
            word, _, name = kind.partition(" ")
            if word == "file":
                Path(name).write_text(body + "\n", encoding="utf-8")
                parts.append(f"`{name}`:\n\n```{Path(name).suffix[1:]}\n{body}\n```")
            elif word == "shell":
                parts += [_block("", _shell(line)) for line in body.splitlines()]
            elif word == "markdown":
                parts.append(body)
            else:
                parts += [_block("python", body), _block("text", _python(body, scope))]
    title, *rest = [part for part in parts if part]
    return "\n\n".join([title, note, *rest]).replace(os.path.realpath(folder), "").replace(folder, "") + "\n"


def _block(language: str, text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    return f"```{language}\n{lines}\n```" if lines else ""


def _shell(line: str) -> str:
    program, *words = shlex.split(line)
    if program != "fusionkit":
        raise SystemExit(f"a shell cell runs fusionkit, not {program}")
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        fusionkit(words)
    return f"$ {line}\n{out.getvalue()}"


def _python(code: str, scope: dict[str, Any]) -> str:
    """What a cell prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "<cell>", "exec"), scope)  # noqa: S102 - the scripts are ours
    return out.getvalue()


def main() -> None:
    """Write the pages of all scripts, or of those that are named."""
    os.environ["COLUMNS"] = "110"
    for script in SCRIPTS:
        if not sys.argv[1:] or script.stem in sys.argv[1:]:
            write_text(page_of(script), render(script))


if __name__ == "__main__":
    main()
