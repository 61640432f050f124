"""What the house promises of its own code: floors, light imports, short files, names that exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import fusionkit
from fusionkit.components.kinds import KINDS

ROOT = Path(__file__).parent.parent
CORE, PLUGINS = ROOT / "fusionkit", ROOT / "plugins"

# The top floor first, as in docs/architecture.md. A package imports packages of lower floors only, none of its own.
FLOORS: dict[int, str] = {
    12: "cli",
    11: "studio",
    10: "interface",
    9: "comparison reporting testing explaining deployment serving",
    8: "runs explanation",
    7: "training inference conversion",
    6: "claims network drawing",
    5: "planning api reading evaluation records",
    4: "graph data",
    3: "registry pretrained layers",
    2: "syntax components datasets",
    1: "shapes errors files exports arrays progress pages",
    0: "printable",
}
WITHOUT_TORCH = {"shapes", "errors", "files", "exports", "printable", "syntax", "components", "graph", "registry",
                 "planning", "api", "drawing", "cli", "datasets", "records"}
FLOOR = {package: floor for floor, packages in FLOORS.items() for package in packages.split()}
PLUGINS_READ = {"arrays", "components", "layers", "pretrained", "shapes", "exports"}  # what `api` opens to plugins
ALIASES = {CORE / "testing" / "golden" / "__main__.py": "cli"}  # a former command line, kept under its old name
LAZY = {"accelerate", "captum", "h5py", "matplotlib", "nibabel", "optuna", "pyarrow", "pydicom", "python_calamine",
        "rich", "sklearn", "submitit", "timm", "tokenizers", "torchmetrics", "transformers"}
VAGUE = {"base", "common", "helpers", "manager", "misc", "util", "utils"}
SOURCES = sorted(CORE.rglob("*.py"))


def imports(node: ast.AST) -> Iterator[str]:
    """Every module that a piece of code imports, `from fusionkit import x` as fusionkit.x."""
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names)
        elif isinstance(part, ast.ImportFrom) and part.module:
            yield from ([f"fusionkit.{alias.name}" for alias in part.names] if part.module == "fusionkit"
                        else [part.module])


def at_import(path: Path) -> set[str]:
    """Packages that are imported with the module: not those in functions or for the type checker."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = [part for part in tree.body if not isinstance(part, ast.FunctionDef | ast.ClassDef)
                  and not (isinstance(part, ast.If) and "TYPE_CHECKING" in ast.dump(part.test))]
    return {name.partition(".")[0] for part in statements for name in imports(part)}


def package_of(path: Path) -> str:
    return ALIASES.get(path, path.relative_to(CORE).with_suffix("").parts[0])


def packages_read(path: Path) -> set[str]:
    names = set(imports(ast.parse(path.read_text(encoding="utf-8"))))
    read = {name.split(".")[1] for name in names if name.startswith("fusionkit.")}
    return {name for name in read if (CORE / name).is_dir() or (CORE / f"{name}.py").is_file()}


def test_every_package_has_a_floor():
    packages = {path.relative_to(CORE).with_suffix("").parts[0] for path in SOURCES} - {"__init__", "__main__"}
    assert packages == set(FLOOR), f"without a floor: {packages - set(FLOOR)}; gone: {set(FLOOR) - packages}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CORE)))
def test_a_package_imports_only_packages_of_lower_floors(path: Path):
    package = package_of(path)
    if package in ("__init__", "__main__"):
        return
    above = {name for name in packages_read(path) - {package} if FLOOR[name] >= FLOOR[package]}
    assert not above
    if package == "api":
        assert packages_read(path) <= PLUGINS_READ


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CORE)))
def test_heavy_packages_are_imported_late(path: Path):
    loaded = at_import(path)
    assert not loaded & LAZY
    if package_of(path) in WITHOUT_TORCH | {"__init__", "__main__"}:
        assert "torch" not in loaded


def test_no_module_imports_in_a_circle():
    reads: dict[str, set[str]] = {}
    for path in SOURCES:
        name = ".".join(("fusionkit", *path.relative_to(CORE).with_suffix("").parts)).removesuffix(".__init__")
        reads[name] = set(imports(ast.parse(path.read_text(encoding="utf-8"))))
    waiting = {name: {other for other in found if other in reads and other != name and not name.startswith(f"{other}.")}
               for name, found in reads.items()}
    while ready := [name for name, found in waiting.items() if not found & waiting.keys()]:
        for name in ready:
            del waiting[name]
    assert not waiting, f"in a circle, or behind one: {sorted(waiting)}"


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: str(path.relative_to(PLUGINS)))
def test_bundled_plugins_come_in_by_the_door(path: Path):
    core = {name for name in imports(ast.parse(path.read_text(encoding="utf-8")))
            if name.startswith("fusionkit") and not name.startswith("fusionkit_plugins.")}
    allowed = {"fusionkit.components.hooks"} if path == PLUGINS / "__init__.py" else set()
    assert core <= {"fusionkit.api", "fusionkit.explaining", "fusionkit.reading"} | allowed


def test_every_package_says_what_lives_in_it_and_what_does_not():
    short = []
    for path in sorted(CORE.rglob("__init__.py")):
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if path.parent != CORE and len(re.findall(r"\.(?=\s|$)", said)) < 3:
            short.append(str(path.relative_to(CORE)))
    assert not short, "one sentence for what lives there, two for what does not"


def test_recorded_numbers_are_read_where_the_environment_says():
    """By tests/recorded.py; a graph beside them holds no numbers."""
    found = [path.name for path in sorted((ROOT / "tests").rglob("*.py")) if path.name != "recorded.py"
             and re.search(r'__file__\)\.parents.*"golden" / "(?!graphs)', path.read_text(encoding="utf-8"))]
    assert not found


def test_finding_plugins_imports_neither_torch_nor_pydantic():
    code = ("import sys, fusionkit, fusionkit.registry.lookup as r; assert r.discover().entries; "
            "print(*(n for n in ('torch', 'pydantic', 'timm', 'transformers', 'numpy', 'monai') if n in sys.modules))")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == ""


def tracked(*suffixes: str) -> list[Path]:
    """Files of the project, those that git ignores left out."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True, check=False)
    names = listed.stdout.split("\0") if listed.returncode == 0 else [
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if not any(p.startswith(".") for p in path.parts)]
    return [ROOT / name for name in names if name.endswith(suffixes) and (ROOT / name).is_file()]


def test_no_file_is_longer_than_400_lines():
    long = {str(path.relative_to(ROOT)): count for path in tracked(".py")
            if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long


def too_many_positional(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions that can be given more than five arguments by position, `self` and `cls` not counted."""
    owners = {part for owner in ast.walk(tree) if isinstance(owner, ast.ClassDef) for part in owner.body}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
            bound = function in owners and names[:1] in (["self"], ["cls"])
            if len(names) - bound > 5:
                yield function


def test_a_long_call_is_found():
    code = "def a(a, b, c, d, e, *, f): ...\ndef b(a, b, c, d, e, f): ...\nclass X:\n def c(self, a, b, c, d, e): ..."
    assert [function.name for function in too_many_positional(ast.parse(code))] == ["b"]


def test_no_function_takes_more_than_five_positional_parameters():
    places = [CORE, PLUGINS, ROOT / "tools", ROOT / "benchmarks"]
    found = [f"{path.relative_to(ROOT)}: {function.name}" for folder in places for path in sorted(folder.rglob("*.py"))
             for function in too_many_positional(ast.parse(path.read_text(encoding="utf-8")))]
    assert not found


def test_no_module_has_a_vague_name():
    assert not [str(path) for path in tracked(".py") if path.stem.strip("_") in VAGUE]


def test_a_class_name_means_one_thing():
    """Names that begin with _ are read in their module alone."""
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_no_two_tests_have_one_name():
    loose = [path for path in tracked(".py") if path.is_relative_to(ROOT / "tests")
             and not (path.parent / "__init__.py").exists()]
    names = [path.name for path in loose if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names)), "pytest imports them by their bare names"


def test_no_path_of_a_machine_is_written_down():
    pattern = re.compile(r"(?<![\w.])/(" + "|".join(["work", "root", "home", "Users"]) + r")/[\w.-]+|/tmp/" + "dev")
    found = [f"{path.relative_to(ROOT)}: {match.group()}" for path in tracked(
        ".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".json", ".cfg", ".csv", ".svg", ".sh")
        for match in [pattern.search(path.read_text(encoding="utf-8", errors="replace"))] if match]
    assert not found


def texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_ids_in_messages_exist():
    known = set(yaml.safe_load((ROOT / "registry.yaml").read_text(encoding="utf-8"))["components"])
    named = {match for path in SOURCES for text in texts(path)
             for match in re.findall(rf"[`']((?:{'|'.join(KINDS)})\.[a-z_][a-z0-9_.]*)[`'}}, ]", text)}
    assert {"encoder.pool", "encoder.placeholder", "encoder.project"} <= named
    assert named <= known, f"named but not in the registry: {sorted(named - known)}"


def test_the_version_is_written_in_one_place():
    assert version("fusionkit") == fusionkit.__version__
    places = [path for path in tracked(".py") if re.search(r"^__version__ = ", path.read_text(encoding="utf-8"), re.M)]
    assert places == [CORE / "__init__.py"]
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_every_code_of_a_finding_is_written_one_way():
    codes = {text for path in SOURCES for text in texts(path) if re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", text)}
    alike = {code.replace("-", "") for code in codes}
    assert len(alike) == len(codes)
