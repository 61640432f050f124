"""docs/optimise.md: its plugin example is rewritten to the same results, and its commands name a script that exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

import fusionkit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "optimise.md").read_text(encoding="utf-8")


def test_the_example_gives_the_same() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    scope: dict[str, Any] = {}
    exec(code, scope)
    scale = scope["Scale"]()
    torch.nn.init.constant_(scale.logarithm, 0.7)
    x = torch.randn(3, 5)
    copied = fusionkit.optimize(scale)
    assert isinstance(copied, scope["Fixed"])
    torch.testing.assert_close(copied(x), scale(x))


def test_the_commands_exist() -> None:
    scripts = re.findall(r"^    python (\S+)", PAGE, re.M)
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)
