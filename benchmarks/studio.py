"""How fast the studio is, as a user sees it: from the command to a checked drawing, checks, long graphs, 1,000 runs.

    OMP_NUM_THREADS=1 python benchmarks/studio.py

A real browser (Chromium, by Playwright) opens a real `fusionkit studio`. Printed are what a user waits, and processor
time, which other work changes less: of the server and of the main thread of the page for what it shows, of
the worker for a check. A check is the least of five rounds after the first, each round with all graphs. The memory is
that of the server.
"""

from __future__ import annotations

import gc
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
RUNS, ROUNDS = 1000, 5
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
    texts = {name: desk.published({"name": name})["text"] for name in desk.published({})["names"]}
    long = {f"{nodes} nodes in {streams} streams": chain(nodes, streams) for nodes, streams in ((300, 1), (300, 30))}
    for text in (*texts.values(), *long.values()):
        desk.check({"text": text})
    gc.freeze()  # as the worker does after its imports
    spent: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, text in {**texts, **long}.items():
            begun = time.process_time()
            desk.check({"text": text})
            spent[name] = min(spent.get(name, 60.0), (time.process_time() - begun) * 1000)
    worst = max(texts, key=lambda name: spent[name])
    yield f"check, the slowest of {len(texts)} published graphs ({worst}), CPU", f"{spent[worst]:.0f} ms", "50 ms"
    for name in long:
        yield f"check of {name}, CPU", f"{spent[name]:.0f} ms", "200 ms"


def cpu(pid: int) -> float:
    """Milliseconds of processor time that a process has used; 0 where the system does not tell."""
    about = Path(f"/proc/{pid}/stat")
    if not about.exists():
        return 0.0
    fields = about.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


class PageClock:
    """The processor time of the page's main thread."""

    def __init__(self, page: Page) -> None:
        self.session = page.context.new_cdp_session(page)
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent(self) -> float:
        """Milliseconds since the page was opened."""
        found = {each["name"]: each["value"] for each in self.session.send("Performance.getMetrics")["metrics"]}
        return float(found["TaskDuration"]) * 1000


def in_browser(page: Page, address: str, begun: float, pid: int) -> Iterator[tuple[str, str, str]]:
    """What a user waits for."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.locator(".node").first.wait_for(timeout=120_000)
    yield "from the command to the first drawing", f"{time.monotonic() - begun:.1f} s", ""
    yield "  of which CPU of the server", f"{cpu(pid) / 1000:.1f} s", ""
    page.get_by_text("good ·").first.wait_for(timeout=120_000)
    yield "from the command to the checked drawing", f"{time.monotonic() - begun:.1f} s", ""
    clock = PageClock(page)
    for word in ("first", *["next"] * ROUNDS):
        page.evaluate("location.hash = '#/graph/graph.yaml'")
        page.locator(".node").first.wait_for()
        start, used = time.monotonic(), cpu(pid) + clock.spent()
        page.evaluate("location.hash = '#/runs'")
        page.locator("tbody tr").first.wait_for()
        shown, spent = (time.monotonic() - start) * 1000, cpu(pid) + clock.spent() - used
        page.get_by_text(re.compile(f"{RUNS} of {RUNS} runs$")).wait_for()
        full = (time.monotonic() - start) * 1000
        yield f"list of {RUNS:,} runs, {word}: first rows, CPU", f"{spent:.0f} ms", "1,000 ms"
        yield f"list of {RUNS:,} runs, {word}: all, CPU", f"{cpu(pid) + clock.spent() - used:.0f} ms", ""
        yield f"list of {RUNS:,} runs, {word}: first rows", f"{shown:.0f} ms", ""
        yield f"list of {RUNS:,} runs, {word}: all", f"{full:.0f} ms", ""
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
