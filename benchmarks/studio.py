"""How fast the studio is, as a user sees it: from the command to a checked drawing, checks, long graphs, 1,000 runs.

    OMP_NUM_THREADS=1 python benchmarks/studio.py

A real browser (Chromium, by Playwright) opens a real `fusionkit studio`. Printed are seconds or milliseconds beside the
limit of the design; a check is the fastest of three after the first, in the worker. The memory is that of the server.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.studio.server import STATIC
from fusionkit.studio.worker import Desk

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = os.environ.get("FUSIONKIT_CHROMIUM") or shutil.which("chromium")
RUNS = 1000
GRAPH = """\
fusionkit: 1
name: small
inputs: {lab: {vector: [5]}, scan: {vector: [7]}}
nodes:
  told: {use: encoder.mlp, from: lab, with: {width: 11}}
  seen: {use: encoder.mlp, from: scan, with: {width: 13}}
  both: {use: fusion.concat, from: [told, seen]}
  kind: {use: head.classify, from: both, with: {classes: [a, b]}}
"""


def chain(nodes: int, streams: int) -> str:
    """A graph of many nodes in streams, which are joined at the end."""
    lines = ["fusionkit: 1", "inputs: {x: {vector: [5]}}", "nodes:"]
    for stream in range(streams):
        for place in range(nodes // streams):
            before = f"n{stream}_{place - 1}" if place else "x"
            lines.append(f"  n{stream}_{place}: {{use: encoder.mlp, from: {before}, with: {{width: 5, hidden: []}}}}")
    last = ", ".join(f"n{stream}_{nodes // streams - 1}" for stream in range(streams))
    lines += [f"  both: {{use: fusion.concat, from: [{last}]}}"] if streams > 1 else []
    lines.append(f"  kind: {{use: head.classify, from: {'both' if streams > 1 else last}, with: {{classes: [a, b]}}}}")
    return "\n".join(lines) + "\n"


def write_runs(folder: Path) -> None:
    """Runs with results, as `train` leaves them, without weights."""
    metrics = {name: {"value": 0.8, "low": 0.7, "high": 0.9} for name in (f"metric{number}" for number in range(30))}
    for number in range(RUNS):
        place = folder / f"run-{number:04d}"
        place.mkdir()
        (place / "run.json").write_text("{}")
        (place / "graph.yaml").write_text(GRAPH)
        (place / "metrics.json").write_text(json.dumps({"fusionkit-metrics": 1, "heads": {"kind": {
            "task": "multiclass", "counts": {"cases": 100}, "labels": {}, "metrics": metrics}}}))


@contextmanager
def studio(folder: Path) -> Iterator[tuple[str, int]]:
    """The address of a studio, and its process."""
    with subprocess.Popen([sys.executable, "-m", "fusionkit", "studio", str(folder), "--no-browser"],
                          stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        yield next(line.strip() for line in process.stdout if re.match("http", line)), process.pid
        process.terminate()


def checks() -> Iterator[tuple[str, str, str]]:
    """Checks in the worker."""
    desk = Desk()

    def fastest(text: str) -> float:
        desk.check({"text": text})
        return float(min(desk.check({"text": text})["ms"] for _ in range(3)))

    names: list[str] = desk.published({})["names"]
    worst, name = max((fastest(desk.published({"name": name})["text"]), name) for name in names)
    yield f"check, the slowest of {len(names)} published graphs ({name})", f"{worst:.0f} ms", "50 ms"
    for nodes, streams in ((300, 1), (300, 30)):
        yield f"check of {nodes} nodes in {streams} streams", f"{fastest(chain(nodes, streams)):.0f} ms", "200 ms"


def in_browser(page: Page, address: str, begun: float, pid: int) -> Iterator[tuple[str, str, str]]:
    """What a user waits for."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.locator(".node").first.wait_for(timeout=120_000)
    yield "from the command to the first drawing", f"{time.monotonic() - begun:.1f} s", ""
    page.get_by_text("good ·").first.wait_for(timeout=120_000)
    yield "from the command to the checked drawing", f"{time.monotonic() - begun:.1f} s", ""
    for word in ("first", "next"):
        page.evaluate("location.hash = '#/graph/graph.yaml'")
        page.locator(".node").first.wait_for()
        start = time.monotonic()
        page.evaluate("location.hash = '#/runs'")
        page.get_by_text(f"{RUNS} of {RUNS} runs").wait_for()
        yield f"list of {RUNS:,} runs, {word}", f"{(time.monotonic() - start) * 1000:.0f} ms", "1,000 ms"
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        held = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
        yield "memory of the server", f"{int(held.group(1)) // 1024 if held else 0} MB", "60 MB"
    own = address.partition("/#")[0]
    yield "requests elsewhere", str(sum(not url.startswith((own, "data:", "blob:")) for url in asked)), "0"


def main() -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    size = sum(len(gzip.compress(path.read_bytes())) for path in STATIC.iterdir())
    rows: list[tuple[Any, ...]] = [("page, compressed", f"{size / 1000:.0f} kB", "250 kB")]
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        (folder / "graph.yaml").write_text(GRAPH)
        write_runs(folder)
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        begun = time.monotonic()
        with studio(folder) as (address, pid):
            rows += in_browser(browser.new_page(), address, begun, pid)
        browser.close()
    rows += checks()
    for what, value, limit in rows:
        print(f"{what:70s} {value:>10s}   {limit}")


if __name__ == "__main__":
    main()
