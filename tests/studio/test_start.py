"""Where the studio listens, what its address holds, and what its process needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from fusionkit.errors import DataError
from fusionkit.studio.start import _socket

MOST_MEGABYTES = 60
"""The limit of the design for the server's memory."""


def test_it_listens_on_this_machine_alone_at_the_first_free_port():
    with _socket(None) as first, _socket(None) as second:
        (host, port), (other, later) = first.getsockname(), second.getsockname()
        assert host == other == "127.0.0.1" and later > port
        with pytest.raises(DataError, match=f"the port {port} is in use"):
            _socket(port)


@pytest.mark.slow  # a process
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell of memory")
def test_the_server_is_small_has_no_torch_and_a_new_token_at_each_start(tmp_path: Path):
    tokens = set()
    for _ in range(2):
        command = [sys.executable, "-m", "fusionkit", "studio", str(tmp_path), "--no-browser"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
            assert process.stdout is not None
            address, _, token = process.stdout.readline().strip().partition("#token=")
            tokens.add(token)
            asked = urllib.request.Request(f"{address}api/outline", b'{"text": "fusionkit: 1"}',
                                           {"authorization": f"Bearer {token}"})
            with urllib.request.urlopen(asked, timeout=60) as answer:  # the first drawing imports what the server needs
                assert json.loads(answer.read())["svg"]
            about = Path(f"/proc/{process.pid}")
            held = int(re.findall(r"VmRSS:\s+(\d+) kB", (about / "status").read_text())[0]) / 1024
            mapped = (about / "maps").read_text()
            process.terminate()
        assert held < 3 * MOST_MEGABYTES and "libtorch" not in mapped
        assert re.fullmatch(r"[\w-]{32}", token)  # 192 bits
    assert len(tokens) == 2
