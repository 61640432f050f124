"""Installed packages that fail in every way that code and metadata can: each is named, and hurts itself alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from acme_packages import COMPONENT, HOOKS, Install, fault, installing, problem

from fusionkit.planning.open_graph import open_graph
from fusionkit.registry import guard, trial
from fusionkit.registry.lookup import discover

GRAPHS = "from pathlib import Path\nfrom fusionkit.api import hookimpl\n@hookimpl\ndef fusionkit_catalogue():\n" \
         "    return Path(__file__).parent / 'registry.yaml'\n@hookimpl\ndef fusionkit_graphs():\n    return {}\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    yield from installing(tmp_path, monkeypatch)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS_REPORTED", 0.1)
    monkeypatch.setattr(guard, "SECONDS_ALLOWED", 0.3)


@pytest.mark.parametrize(("init", "says"), [
    ("raise KeyboardInterrupt", "KeyboardInterrupt: ("),
    ("class Skipped(BaseException): pass\nraise Skipped('no GPU')", "Skipped: no GPU ("),
    ("raise GeneratorExit", "GeneratorExit"),
    ("raise SystemExit(0)", "SystemExit: 0"),
    ("import os; os._exit(3)", "Exited: os._exit(3) ("),
    ("from os import _exit; _exit(0)", "Exited: os._exit(0) ("),
    ("input('licence key: ')", "EOFError"),
    ("class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute", "its message cannot be shown"),
    ("def f(): f()\nf()", "RecursionError"),
    (HOOKS.replace("return Path(__file__).parent / \"registry.yaml\"", "raise KeyboardInterrupt"), "KeyboardInterrupt"),
])
def test_what_a_package_raises_is_its_own_problem(install: Install, init: str, says: str) -> None:
    install("acme-lungs", init)
    install("acme-hearts", catalogue="  encoder.acme: {at: acme_hearts.acme}",
            acme=COMPONENT.format(name="acme", summary="Ours."))
    registry = discover()
    assert registry.load("encoder.acme").id == "encoder.acme"
    assert says in problem(registry, "acme_lungs")


@pytest.mark.parametrize("loop", ["while True: pass", "import time; time.sleep(600)",
                                  "while True:\n    try:\n        while True: pass\n    except Exception: pass"])
def test_an_import_without_end_is_named_and_given_up(
    install: Install, hurried: None, loop: str, capfd: pytest.CaptureFixture[str]
) -> None:
    install("acme-lungs", loop)
    assert "TooLong: its import was given up after 0.3 s" in problem(discover(), "acme_lungs")
    assert "importing the plugin package acme-lungs takes long" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_packages_that_a_graph_does_not_need_are_not_imported(install: Install) -> None:
    install("acme-lungs", "raise AssertionError('imported')")
    registry = discover()
    open_graph("breast-cancer", registry=registry)
    registry.load("fusion.gmu")
    assert "acme_lungs" not in sys.modules and "_whole" not in vars(registry)


def test_what_a_package_prints_is_no_result(install: Install, capfd: pytest.CaptureFixture[str]) -> None:
    install("acme-lungs", "import os\nprint('from Python')\nos.write(1, b'from C')\n" + HOOKS, catalogue="  {}")
    assert [provider.problem for provider in discover().providers if provider.name == "acme_lungs"] == [None]
    seen = capfd.readouterr()
    assert seen.out == "" and "from Python" in seen.err and "from C" in seen.err


def test_a_package_that_changes_the_folder(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    install("acme-lungs", "import os; os.chdir('/')\n" + HOOKS, catalogue="  {}")
    assert discover().providers
    assert Path.cwd() == tmp_path


def test_ctrl_c_is_the_users_also_while_a_package_is_imported(install: Install) -> None:
    install("acme-lungs", "import os, signal; os.kill(os.getpid(), signal.SIGINT)\nfor _ in range(10**8): pass")
    # A process in the background may ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            _ = discover().providers
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught.value.__notes__ == ["the plugin package acme-lungs was being imported"]


@pytest.mark.parametrize(("points", "says"), [
    (b"[fusionkit]\ngarbage without a sign\n", "its entry_points.txt cannot be read"),
    (b"[fusionkit]\n\xff\xfe = acme_lungs\n", "its entry_points.txt cannot be read: UnicodeDecodeError"),
    (b"[fusionkit]\nacme_lungs = not a module at all!\n", ""),
    (b"[fusionkit]\nacme_lungs = \n", ""),
])
def test_entry_points_that_cannot_be_read(install: Install, tmp_path: Path, points: bytes, says: str) -> None:
    install("acme-lungs", catalogue="  {}")
    (tmp_path / "acme_lungs-1.5.dist-info" / "entry_points.txt").write_bytes(points)
    registry = discover()
    assert registry.load("encoder.mlp").id == "encoder.mlp"
    (provider,) = (each for each in registry.providers if each.package == "acme-lungs")
    assert provider.problem is not None and says in provider.problem and provider.fix


def test_broken_metadata_of_a_package_without_plugins_are_nobodys_business(install: Install, tmp_path: Path) -> None:
    install("acme-lungs", catalogue="  {}")
    (tmp_path / "acme_lungs-1.5.dist-info" / "entry_points.txt").write_bytes(b"[console_scripts]\n\xff\n")
    registry = discover()
    assert "encoder.mlp" in registry.ids
    assert all(each.package != "acme-lungs" for each in registry.providers)


@pytest.mark.parametrize("metadata", [None, b"", b"Name: \xff\xfe\n", b"Version: 1\n"])
def test_metadata_that_do_not_say_the_name(install: Install, tmp_path: Path, metadata: bytes | None) -> None:
    install("acme-lungs", catalogue="  encoder.acme: {at: acme_lungs.acme}",
            acme=COMPONENT.format(name="acme", summary="Ours."))
    path = tmp_path / "acme_lungs-1.5.dist-info" / "METADATA"
    path.unlink() if metadata is None else path.write_bytes(metadata)
    registry = discover()
    assert registry.load("encoder.acme").id == "encoder.acme"
    provider = registry.provider("encoder.acme")
    assert provider is not None and provider.package
    assert registry.others is not None


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir],
                         ids=["pipe", "device", "folder"])
def test_a_catalogue_that_is_no_file(install: Install, tmp_path: Path, make: object) -> None:
    install("acme-lungs")
    make(tmp_path / "acme_lungs" / "registry.yaml")  # type: ignore[operator]
    assert "cannot read" in problem(discover(), "acme_lungs")


@pytest.mark.parametrize("folder", ["'a\\0b'", "'/proc'", "7", "Path(__file__)", "'/nowhere/at/all'"])
def test_a_folder_of_graphs_that_is_none(install: Install, folder: str) -> None:
    install("acme-lungs", GRAPHS.format(folder), catalogue="  {}")
    assert "breast-cancer" in discover().graphs


def test_a_graph_that_exists_already_stays_what_it_is(install: Install, tmp_path: Path) -> None:
    install("acme-lungs", catalogue="  {}")
    other = tmp_path / "acme_lungs" / "graphs" / "breast-cancer.yaml"
    other.write_text("fusionkit: 1\nname: other\n")
    registry = discover()
    found = registry.graph("breast-cancer")
    assert found is not None and found != other and found == registry.graphs["breast-cancer"]
    assert [each.package for each in registry.graph_collisions["breast-cancer"]] == ["fusionkit", "acme-lungs"]


def test_a_name_that_is_that_of_the_bundled_entry_point(install: Install, tmp_path: Path) -> None:
    install("acme-lungs", catalogue="  encoder.mlp: {at: acme_lungs.acme, summary: Ours.}")
    (tmp_path / "acme_lungs-1.5.dist-info" / "entry_points.txt").write_text("[fusionkit]\nbundled = acme_lungs\n")
    registry = discover()
    assert registry.providers[0].package == "fusionkit" and not registry.providers[1].bundled
    assert registry.load("encoder.mlp").summary != "Ours."


@pytest.mark.parametrize("end", ["raise KeyboardInterrupt", "import os; os._exit(0)"])
def test_a_component_that_ends_the_program(install: Install, end: str) -> None:
    install("acme-lungs", catalogue="  encoder.acme: {at: acme_lungs.acme}", acme=end)
    found = fault(discover(), "encoder.acme")
    assert found.code == "broken-plugin" and found.message == "encoder.acme of acme-lungs 1.5 cannot be used"


def test_broken_entry_points_stop_no_library_of_the_command_line(install: Install, tmp_path: Path) -> None:
    """pydantic and torch read the entry points of everything that is installed."""
    install("acme-lungs", catalogue="  {}")
    (tmp_path / "acme_lungs-1.5.dist-info" / "entry_points.txt").write_text("[fusionkit]\ngarbage without a sign\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    run = subprocess.run([sys.executable, "-m", "fusionkit", "plugins", "list"], env=environment, capture_output=True,
                         text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "not in use: acme-lungs (acme-lungs 1.5): its entry_points.txt cannot be read" in run.stdout
    code = "from fusionkit.cli.parser import main; raise SystemExit(main(['check', 'breast-cancer']))"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(("init", "name"), [
    ("import ctypes; ctypes.string_at(0)", "SIGSEGV"), ("import os\nos.abort()", "SIGABRT"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL")])
def test_a_crash_ends_no_command(install: Install, tmp_path: Path, init: str, name: str) -> None:
    install("acme-lungs", init)
    install("acme-hearts", catalogue="  encoder.acme: {at: acme_hearts.acme}",
            acme=COMPONENT.format(name="acme", summary="Ours."))
    registry = discover()
    assert registry.load("encoder.acme").id == "encoder.acme"
    told = problem(registry, "acme_lungs")
    assert told.startswith(f"its import ends Python ({name})")
    if name != "SIGKILL":  # which leaves no time to say where
        assert told.endswith(f" at {tmp_path / 'acme_lungs' / '__init__.py'}:{init.count(chr(10)) + 1}")


def test_an_import_is_tried_once_for_its_version_and_its_files(install: Install, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    install("acme-lungs", "import os\nos.abort()")
    tried = []
    real = trial._tried
    monkeypatch.setattr(trial, "_tried", lambda module: tried.append(module) or real(module))
    assert "SIGABRT" in trial.crash_of("acme_lungs", "1.5") and "SIGABRT" in trial.crash_of("acme_lungs", "1.5")
    assert tried == ["acme_lungs"]
    (tmp_path / "acme_lungs" / "__init__.py").write_text("mended = 1")
    assert trial.crash_of("acme_lungs", "1.5") == trial.crash_of("acme_lungs", "1.5") == ""
    assert len(tried) == 2
    assert trial.crash_of("acme_lungs", "1.6") == ""
    assert len(tried) == 3


def test_what_takes_too_long_to_be_tried_is_tried_once_and_known_once_it_was_imported(
        install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("acme-lungs", catalogue="  encoder.acme: {at: acme_lungs.acme}")
    tried: list[str] = []
    monkeypatch.setattr(trial, "_tried", tried.append)  # which gives None: not decided in time
    monkeypatch.setattr(trial, "_undecided", set())
    assert trial.crash_of("acme_lungs", "1.5") == trial.crash_of("acme_lungs", "1.5") == ""
    assert tried == ["acme_lungs"]
    assert not (tmp_path / "imports.json").exists()
    assert "encoder.acme" in discover().ids
    assert tried == ["acme_lungs"]
    assert json.loads((tmp_path / "imports.json").read_text())["acme_lungs"][-1] == ""
    del sys.modules["acme_lungs"]
    assert trial.crash_of("acme_lungs", "1.5") == ""  # as another command finds it
    assert tried == ["acme_lungs"]


@pytest.mark.parametrize("content", ["[]", '{"acme_lungs": 7}', '{"acme_lungs": []}', "\0", '{"acme_lungs": [null]}'])
def test_a_damaged_record_of_imports_is_written_again(install: Install, tmp_path: Path, content: str) -> None:
    install("acme-lungs", "")
    (tmp_path / "imports.json").write_text(content)
    assert trial.crash_of("acme_lungs", "1.5") == ""
    assert list(json.loads((tmp_path / "imports.json").read_text())) == ["acme_lungs"]
