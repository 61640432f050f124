"""Writes a new plugin package from `templates/`: complete, and passing its own tests."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shutil
from importlib.resources import files
from pathlib import Path
from string import Template

from fusionkit import __version__
from fusionkit.components.hooks import CONTRACT_RANGE
from fusionkit.components.kinds import KIND_TABLE
from fusionkit.components.requirements import normal_name
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.registry.catalogue import Entry, render
from fusionkit.registry.lookup import discover
from fusionkit.shapes.rule_parser import parse_rule

PREFIX = "fusionkit"
_LONGEST = 30  # names stand in lines of the generated files, which end at column 120
_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
# Names that the generated files import or define: a class of such a name would hide them.
_TAKEN = {"Any", "Callable", "ChosenCase", "ClassColumn", "Config", "Draws", "Encoder", "EpochWindow", "Explanation",
          "F", "Field", "Floats", "Fusion", "Gradients", "Head", "HeadPrediction", "Mapping", "Metric",
          "NonNegativeFloat", "Path", "PositiveInt", "Prediction", "Projections", "RunPart", "RunView",
          "Runner", "Sequence", "Tensor", "TensorShape", "Training", "TrainingMethod", "TrainingView",
          "Transform", "TransformConfig", "TransformMethod", "Uncertainty"}

_TEMPLATES = files("fusionkit.testing.scaffold") / "templates"


def new_package(name: str, kind: str, folder: Path | None = None) -> dict[str, str]:
    """The files of a new package by their path, written to `folder` (default: fusionkit-NAME).

    Raises: GraphError with `bad-name`, `name-taken` or `bad-output`; then nothing has been written.
    """
    name = name.strip()
    found = _name_faults(name, kind)
    target = folder or Path(f"{PREFIX}-{name.replace('_', '-')}")
    if not found:
        found = [*_taken(name, kind), *_target_faults(target)]
    if found:
        raise GraphError(found)
    texts = package_files(name, kind)
    _write(texts, target)
    return texts


def package_files(name: str, kind: str) -> dict[str, str]:
    """The text of every file of a new package, by its path in the package's folder."""
    chosen, module = KIND_TABLE[kind].scaffold, name.replace("-", "_")
    package, words = f"{PREFIX}_{module}", module.split("_")
    title = "".join(word[:1].upper() + word[1:] for word in words)
    own = f"{title}{kind.capitalize()}" if {title, f"{title}Config"} & _TAKEN else title
    values = {
        "project": f"{PREFIX}-{name.replace('_', '-')}", "graph": name.replace("_", "-"), "package": package,
        "name": module, "id": f"{kind}.{module}", "module": own, "options": f"{own}Config",
        "title": " ".join(words).capitalize(), "label": " ".join(words), "contract": CONTRACT_RANGE,
        "version": ".".join(__version__.split(".")[:2]),
    }
    values["snippet"] = Template(chosen.snippet).substitute(values)
    template_of = {
        "pyproject.toml": "pyproject.toml", "README.md": "README.md", "LICENSE": "LICENSE",
        f"{package}/__init__.py": "__init__.py", f"{package}/{module}.py": f"{kind}.py",
        f"{package}/graphs/{values['graph']}.yaml": f"{kind}.yaml", f"tests/test_{module}.py": "tests.py",
        ".github/workflows/test.yml": "workflow.yml", ".gitignore": "gitignore",
    }
    texts = {path: Template((_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")).substitute(values)
             for path, template in template_of.items()}
    rule = str(parse_rule(chosen.rule)) if chosen.rule else ""
    entry = Entry(values["id"], values["project"], f"{package}.{module}", f"{values['title']}: {chosen.summary}", rule,
                  chosen.absent, "", "", "Apache-2.0", ())
    return texts | {f"{package}/registry.yaml": render(values["project"], [entry])}


def _name_faults(name: str, kind: str) -> list[Diagnostic]:
    if kind not in KIND_TABLE:
        return [Diagnostic("bad-name", f"there is no kind {kind!r}", fix=f"choose one of {', '.join(KIND_TABLE)}")]
    if name.startswith((f"{PREFIX}-", f"{PREFIX}_")):
        return [Diagnostic("bad-name", f"{name!r} has the prefix of the package in it", why="it is added automatically",
                           fix=f"write {name[len(PREFIX) + 1:]!r}")]
    if not _NAME.fullmatch(name):
        close = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")
        fix = f"write {close!r}" if _NAME.fullmatch(close) else "write it like 'my-fusion'"
        return [Diagnostic("bad-name", f"{name!r} is not the name of a plugin", fix=fix,
                           why="it begins with a letter and has lower case letters, digits and single dashes")]
    if len(name) > _LONGEST:
        return [Diagnostic("bad-name", f"{name!r} has {len(name)} characters", fix=f"at most {_LONGEST}")]
    if keyword.iskeyword(name):
        return [Diagnostic("bad-name", f"{name!r} is a word of the Python language", why="no module can have this name",
                           fix=f"write '{name}-{kind}'")]
    return []


def _taken(name: str, kind: str) -> list[Diagnostic]:
    module, graph = name.replace("-", "_"), name.replace("_", "-")
    registry = discover()
    owner = registry.provider(f"{kind}.{module}")
    listed = registry.known_for(f"{kind}.{module}")
    if owner or (listed and normal_name(listed.package) != f"{PREFIX}-{graph}"):
        return [Diagnostic("name-taken", f"{kind}.{module} is provided by {owner or (listed and listed.package)}",
                           why="an id has one provider", fix="choose another name")]
    if graph in registry.graphs:
        return [Diagnostic("name-taken", f"a graph {graph!r} is published", fix="choose another name",
                           why="the package publishes one of its own name")]
    if importlib.util.find_spec(f"{PREFIX}_{module}"):
        return [Diagnostic("name-taken", f"a package {PREFIX}_{module} is installed", fix="choose another name")]
    return []


def _target_faults(target: Path) -> list[Diagnostic]:
    if not os.path.lexists(target):
        return []
    if target.is_dir() and not target.is_symlink() and not any(target.iterdir()):
        return []
    return [Diagnostic("bad-output", f"{str(target)!r} exists", why="nothing is ever overwritten",
                       fix="give another folder with -o, or remove it")]


def _write(texts: dict[str, str], target: Path) -> None:
    """Write the whole folder atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        for path, text in texts.items():
            place = aside / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        if target.is_dir():
            target.rmdir()
        aside.replace(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
