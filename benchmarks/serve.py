"""A load test of `fusionkit serve`: many clients at once on loopback, every answer held against `predict`.

    OMP_NUM_THREADS=1 python benchmarks/serve.py [--clients 32] [--seconds 60] [--run RUN DATA] [--exported]

Without `--run` a small network on two tables, one of them optional, is trained first. The server runs in a process of
its own. Printed are answers per second, beside cases per second of `predict` on the whole table, the median and the
99th percentile of the time of an answer, answers that are not those of `predict`, and the server's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

import fusionkit
from fusionkit.cli.parser import main as command

GRAPH = """\
fusionkit: 1
name: two-tables
inputs: {lab: {vector: [3]}, more: {vector: [5], optional: true}}
nodes:
  told: {use: encoder.mlp, from: lab, with: {width: 32, hidden: [64]}}
  seen: {use: encoder.mlp, from: more, with: {width: 32, hidden: [64]}}
  both: {use: fusion.concat, from: [told, seen], with: {availability: true}}
  kind: {use: head.classify, from: both, with: {classes: [no, yes]}}
training: {epochs: 1, batch_size: 32, device: cpu, hold_out: 0}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs: {lab: {read: columns, numeric: [a, b, c]}, more: {read: columns, numeric: [d, e, f, g, h]}}
targets: {kind: {column: kind}}
"""


def write_study(folder: Path, count: int = 200) -> None:
    """A study of tables; every fourth case lacks the second one."""
    rng = np.random.default_rng(0)
    (folder / "graph.yaml").write_text(GRAPH)
    (folder / "data.yaml").write_text(DATA)
    with (folder / "cases.csv").open("w", newline="") as stream:
        sheet = csv.writer(stream)
        sheet.writerow(["id", *"abcdefgh", "kind", "split"])
        for case in range(count):
            cells = [f"{value:.3f}" for value in rng.normal(case % 2, 1, 8)]
            sheet.writerow([f"c{case}", *(cells if case % 4 else [*cells[:3], *[""] * 5]), ("no", "yes")[case % 2],
                            "test" if case % 3 == 2 else "train"])


def body_of(row: dict[str, str], columns: list[str]) -> bytes:
    """The request for one row of a table, as bytes."""
    cells = json.dumps({name: row[name] or None for name in columns})
    part = f'--x\r\nContent-Disposition: form-data; name="cells"\r\n\r\n{cells}\r\n--x--\r\n'.encode()
    return (f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            f"Content-Length: {len(part)}\r\n\r\n").encode() + part


class Client:
    """Asks one case after the other over one connection."""

    def __init__(self, port: int, bodies: list[bytes], wanted: list[dict[str, Any]], until: float) -> None:
        self.port, self.bodies, self.wanted, self.until = port, bodies, wanted, until
        self.seconds: list[float] = []
        self.wrong = self.busy = 0

    async def run(self, first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        place = first
        while time.perf_counter() < self.until:
            place = (place + 7) % len(self.bodies)
            start = time.perf_counter()
            writer.write(self.bodies[place])
            status, said = await answer_of(reader)
            if status == 503:
                self.busy += 1
                await asyncio.sleep(0.05)
                continue
            self.seconds.append(time.perf_counter() - start)
            self.wrong += status != 200 or not same(said, self.wanted[place])
        writer.close()


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """Status and content of one answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


def same(said: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether an answer is the row of `predict`."""
    return all(abs(float(said["row"][name]) - value) <= 2e-5 for name, value in wanted.items()
               if isinstance(value, float) and name in said["row"])


def memory_of(process: int) -> float:
    """Resident megabytes of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def started(run: str) -> tuple[subprocess.Popen[bytes], int]:
    """A server in a process of its own, when it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "fusionkit", "serve", run, "--port", str(port), "--device", "cpu"]
                               if not Path(run, "exported.json").exists() else
                               [sys.executable, "-m", "fusionkit", "serve", run, "--port", str(port)])
    for _ in range(600):
        time.sleep(0.1)
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process, port
        except OSError:
            if process.poll() is not None:
                sys.exit("the server ended")
    sys.exit("the server does not answer")


def main() -> None:
    """Train if needed, serve, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--run", nargs=2, metavar=("RUN", "DATA"))
    parser.add_argument("--exported", action="store_true", help="export the run as ONNX first, and serve that")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run, data = args.run or (str(folder / "run"), str(folder / "data.yaml"))
        if not args.run:
            write_study(folder)
            with redirect_stdout(io.StringIO()):
                if command(["train", str(folder / "graph.yaml"), data, "-o", run]):
                    sys.exit(1)
        if args.exported:
            fusionkit.export(run, folder / "exported", quiet=True)
            run = str(folder / "exported")
        measure(run, Path(data), args.clients, args.seconds)


def measure(run: str, data: Path, clients: int, seconds: float) -> None:
    """Serve a run and ask for its cases, which are rows of a table."""
    wanted = fusionkit.predict(run, data, quiet=True).rows()
    start = time.perf_counter()
    fusionkit.predict(run, data, quiet=True)
    alone = len(wanted) / (time.perf_counter() - start)
    with (data.parent / "cases.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = [name for name in rows[0] if name not in ("id", "kind", "split")]
    bodies = [body_of(row, columns) for row in rows]
    process, port = started(run)
    try:
        before = memory_of(process.pid)
        until = time.perf_counter() + seconds
        asking = [Client(port, bodies, wanted, until) for _ in range(clients)]

        async def ask() -> None:
            await asyncio.gather(*(client.run(number) for number, client in enumerate(asking)))

        asyncio.run(ask())
        after = memory_of(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        ended = process.wait(60)
    took = np.array([each for client in asking for each in client.seconds])
    print(f"{len(took) / seconds:.0f} answers/s of {clients} clients in {seconds:g} s; `predict` of the whole table "
          f"{alone:.0f} cases/s\np50 {np.median(took) * 1e3:.0f} ms, p99 {np.quantile(took, 0.99) * 1e3:.0f} ms\n"
          f"wrong or mixed up: {sum(client.wrong for client in asking)}, sent away with 503: "
          f"{sum(client.busy for client in asking)}\nmemory {before:.0f} MB, {after:.0f} MB at the end; ended "
          f"by signal {-ended} after answering")


if __name__ == "__main__":
    main()
