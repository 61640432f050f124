"""Records what the commands print and write, so that two versions of fusionkit can be compared.

    python tools/compare_outputs.py record BEFORE      # with one version on the path
    python tools/compare_outputs.py record AFTER       # with the other
    python tools/compare_outputs.py diff BEFORE AFTER

Recorded are all help texts, every published graph (check, build, the built folder with each tensor's checksum), the
schema, the catalogue, every component's page, the bad graphs of the tests, and small runs on a synthetic cohort with
everything that is asked of them. Not compared, since they differ from one run to the next: seconds, the scratch
folder's name, dates, and the bytes of pictures.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import re
import runpy
import sys
import tempfile
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("", "check", "build", "train", "evaluate", "predict", "calibrate", "explain", "compare", "plugins",
            "plugins list", "plugins show", "plugins new", "plugins check", "plugins catalogue", "weights",
            "weights convert", "schema", "demo", "doctor")
TIMES = re.compile(r"\b\d+(\.\d+)?(e-?\d+)? ?(s|ms|min|h|seconds?|minutes?|hours?)\b")
SECONDS = re.compile(r'("[a-z_]*(?:seconds|time)[a-z_]*": )[\d.e-]+')
SHOWN = 12


def record(folder: Path) -> None:
    """Run every command in a scratch folder, and write one text for each."""
    folder.mkdir(parents=True)
    os.environ |= {"OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    for module in ("torch", "pydantic", "accelerate", "matplotlib.figure", "safetensors.torch"):
        import_module(module)  # once, for all commands
    with tempfile.TemporaryDirectory() as scratch:
        for name, arguments in commands(Path(scratch)):
            code, out, err = forked(arguments, Path(scratch))
            text = f"exit {code}\n--- out\n{out}\n--- err\n{err}"
            (folder / f"{name}.txt").write_text(plain(text, scratch), encoding="utf-8")
        for path in sorted(Path(scratch).rglob("*")):
            if path.is_file() and ".fusionkit-cache" not in path.parts:
                target = folder / "files" / path.relative_to(scratch)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.with_name(target.name + ".txt").write_text(contents(path, scratch), encoding="utf-8")


def forked(arguments: list[str], folder: Path) -> tuple[int, str, str]:
    """Exit code and output of `python -m fusionkit` in a fork of this process, which has imported what takes long."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if not child:
            code: Any = 1
            try:
                os.chdir(folder)
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                sys.argv = ["fusionkit", *arguments]
                runpy.run_module("fusionkit", run_name="__main__", alter_sys=True)
                code = 0
            except SystemExit as stop:
                code = stop.code or 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read())
    return code, texts[0], texts[1]


def commands(scratch: Path) -> Iterator[tuple[str, list[str]]]:
    """Every command by name; those that come later read what earlier ones wrote."""
    for command in COMMANDS:
        yield f"help {command}".strip(), [*command.split(), "--help"]
    for graph in sorted(path.stem for path in (ROOT / "plugins" / "graphs").glob("*.yaml")):
        yield f"check {graph}", ["check", graph, "--resolved"]
        yield f"build {graph}", ["build", graph, "-o", f"built/{graph}"]
    for path in sorted((ROOT / "tests" / "graphs" / "bad").glob("*.yaml")):
        (scratch / path.name).write_bytes(path.read_bytes())
        yield f"bad {path.stem}", ["check", path.name]
    yield "schema", ["schema"]
    yield "list", ["plugins", "list", "--all", "--json"]
    listed = json.loads(forked(["plugins", "list", "--json"], scratch)[1])["components"]
    ids = [row["id"] for row in listed]
    for name in ids:
        yield f"show {name}", ["plugins", "show", name]
    for kind in sorted({name.partition(".")[0] for name in ids}):
        yield f"new {kind}", ["plugins", "new", f"acme-{kind}", "--kind", kind]
    yield "demo", ["demo", "demo", "--phantom", "additive", "--cases", "151"]
    data = "demo/phantom-additive/data.yaml"
    short = ["--epochs", "2", "--threads", "1"]
    yield "train", ["train", "phantom", data, "-o", "run", *short]
    yield "train again", ["train", "phantom", data, "-o", "run", *short]
    yield "resume", ["train", "phantom", data, "-o", "run", "--resume", *short]
    yield "train folds", ["train", "phantom-table", data, "-o", "folds", *short, "--fold", "0"]
    yield "evaluate", ["evaluate", "run"]
    yield "evaluate missing", ["evaluate", "run", "--missing", "-o", "missing"]
    yield "predict", ["predict", "run", data, "-o", "predicted.csv"]
    yield "predict sampled", ["predict", "run", data, "--uncertainty", "uncertainty.mc_dropout", "--samples", "7"]
    yield "calibrate", ["calibrate", "run", "--alpha", "0.2"]
    yield "explain", ["explain", "run"]
    yield "compare", ["compare", "phantom", data, "--node", "both", "--with",
                      "fusion.sum{width: 16},fusion.gmu", "-o", "compared", *short]


def contents(path: Path, scratch: str) -> str:
    """A file as text that can be compared: tensors by checksum, pictures by kind alone."""
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return "".join(f"{name} {value.dtype} {list(value.shape)} {hashlib.sha256(value.tobytes()).hexdigest()}\n"
                       for name, value in sorted(load_file(path).items()))
    if path.suffix in (".png", ".dcm", ".npy", ".npz"):
        return "binary\n"
    return plain(path.read_text(encoding="utf-8", errors="replace"), scratch)


def plain(text: str, scratch: str) -> str:
    """The text without what no two runs have in common."""
    text = text.replace(os.path.realpath(scratch), "SCRATCH").replace(scratch, "SCRATCH")
    text = re.sub(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?", "DATE", text)
    return SECONDS.sub(r"\1TIME", TIMES.sub("TIME", text))


def differences(before: Path, after: Path) -> int:
    """Print what differs, file by file; gives how many files do."""
    names = sorted({str(path.relative_to(folder)) for folder in (before, after) for path in folder.rglob("*.txt")})
    count = 0
    for name in names:
        first, second = (path.read_text(encoding="utf-8").splitlines() if path.is_file() else ["(not there)"]
                         for path in (before / name, after / name))
        if first == second:
            continue
        count += 1
        lines = list(difflib.unified_diff(first, second, lineterm="", n=0))[2:]
        print(f"== {name}", *lines[:SHOWN], *([f"... {len(lines) - SHOWN} more lines"] if len(lines) > SHOWN else []),
              sep="\n")
    print(f"{count} of {len(names)} texts differ")
    return count


def main() -> int:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    inner = parser.add_subparsers(dest="command", required=True)
    inner.add_parser("record").add_argument("folder", type=Path)
    compare = inner.add_parser("diff")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    args = parser.parse_args()
    if args.command == "record":
        record(args.folder)
        return 0
    return min(differences(args.before, args.after), 1)


if __name__ == "__main__":
    raise SystemExit(main())
