"""Packages named acme, really installed in a folder of their own, with a dist-info as pip would write it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fusionkit.errors import Diagnostic, GraphError
from fusionkit.registry.lookup import DISABLE, Registry

HOOKS = """
from pathlib import Path
from fusionkit.api import hookimpl
@hookimpl
def fusionkit_catalogue():
    return Path(__file__).parent / "registry.yaml"
@hookimpl
def fusionkit_graphs():
    return Path(__file__).parent / "graphs"
"""
COMPONENT = '''
"""{summary}"""
import torch
from fusionkit.api import Config, Encoder
class Nothing(Config):
    pass
class Module(torch.nn.Identity):
    def __init__(self, config, inputs):
        super().__init__()
component = Encoder("{name}", Nothing, Module, rule="B _ -> same")
'''
CATALOGUE = "fusionkit-catalogue: 1\npackage: {package}\ncomponents:\n"
Install = Callable[..., None]


def installing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """What installs a package; all of them are forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(DISABLE, raising=False)
    monkeypatch.setattr("fusionkit.registry.trial._cache_file", lambda: tmp_path / "imports.json")

    def put(package: str, init: str = HOOKS, catalogue: str | None = None, **modules: str) -> None:
        name = package.replace("-", "_")
        folder = tmp_path / name
        (folder / "graphs").mkdir(parents=True)
        (folder / "__init__.py").write_text(init)
        if catalogue is not None:
            (folder / "registry.yaml").write_text(CATALOGUE.format(package=package) + catalogue + "\n")
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(text)
        info = tmp_path / f"{name}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[fusionkit]\n{name} = {name}\n")

    yield put
    for module in set(sys.modules) - known:
        if module.startswith(("acme", "fusionkit_plugin_")):
            del sys.modules[module]


def fault(registry: Registry, name: str) -> Diagnostic:
    with pytest.raises(GraphError) as caught:
        registry.load(name)
    (found,) = caught.value.diagnostics
    return found


def problem(registry: Registry, name: str) -> str:
    (provider,) = (provider for provider in registry.providers if provider.name == name)
    assert provider.problem is not None and not provider.entries
    return provider.problem
