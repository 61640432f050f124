"""Writes docs/components/*.md, one page for each kind of component, from the plugin files.

Run: python tools/component_docs.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from fusionkit.cli.commands.plugins_show import ABSENCE, option_rows
from fusionkit.components.component import Component
from fusionkit.components.declaration import Declaration
from fusionkit.components.kinds import GRAPH_KINDS, KIND_TABLE
from fusionkit.drawing.labels import amount
from fusionkit.registry.lookup import discover, library_names
from fusionkit.shapes.layouts import TensorShape, is_loss
from fusionkit.testing.probing.examples import Example, example_of

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "components"
SIZES = {"vector": (64,), "tokens": (16, 64), "image": (64, 14, 14), "volume": (64, 6, 14, 14)}
_PICTURES = {"image": (3, 128, 128), "volume": (1, 32, 128, 128)}
"""Sizes for networks that read pictures, where SIZES are those of maps inside a network."""
_HEADER = """\
# {title}, one by one

Made from the plugin files by `tools/write_docs.py`; a test keeps it fresh. Which to choose, and how they work together:
[{guide}](../{guide}.md). {rest}

"""
_OF_NETWORKS = """\
The notation of rules: [rules](../rules.md). The words for missing inputs:
[the contract](../plugins.md#absence). Shapes are those of one case, without the batch axis; parameters and
multiply-adds are those of the example."""

_OF_LIBRARIES = """\
These are not ours: torch and timm have them, and their documentation says what they do. The list is that of the
versions with which this page was made.

"""


@cache
def bundled(kind: str) -> tuple[Declaration, ...]:
    """The components of a kind that come with fusionkit, in the order of their ids."""
    registry = discover()
    return tuple(registry.load(entry.id, of=Declaration) for entry in registry.entries
                 if entry.package == "fusionkit" and entry.kind == kind)


@cache
def example(name: str) -> Example:
    """A component in use on inputs of usual sizes."""
    component = next(known for known in bundled(name.partition(".")[0]) if known.id == name)
    return example_of(component, SIZES | _PICTURES if component.category == "image" else SIZES)


def path_of(kind: str) -> Path:
    """Where the page of a kind is kept."""
    return FOLDER / f"{KIND_TABLE[kind].folder}.md"


def page(kind: str) -> str:
    """The text of the page of one kind."""
    row = KIND_TABLE[kind]
    named = "named by `fusionkit " if row.by_command else "named by the declaration of a head: `" if row.by_head else (
        f"named in a {'data' if row.in_data else 'graph'} file by `")
    rest = _OF_NETWORKS if kind in GRAPH_KINDS else f"They are {named}{row.setting}`."
    if row.library:
        return _HEADER.format(title=row.title, guide=row.guide, rest=rest) + _by_name(kind)
    parts = [_HEADER.format(title=row.title, guide=row.guide, rest=rest),
             "| id | category | summary |\n| --- | --- | --- |\n"]
    parts += [f"| [`{made.id}`](#{_anchor(made.id)}) | {made.category} | {_cell(made.summary)} |\n"
              for made in bundled(kind)]
    return "".join([*parts, *("\n" + "\n".join(_section(made)) for made in bundled(kind))])


def _by_name(kind: str) -> str:
    """The table of components that installed libraries have."""
    made = [discover().load(f"{kind}.{name}", of=Declaration) for name in library_names(kind)]
    lines = [f"| `{each.name}` | {_cell(each.summary)} | "
             f"{', '.join(f'`{name}`' for name in each.config.model_fields)} |\n" for each in made]
    return (f"{_OF_LIBRARIES}| name | what it is | options |\n| --- | --- | --- |\n{''.join(lines)}")


def _section(component: Declaration) -> Iterator[str]:
    """The lines about one component."""
    seen = example(component.id)
    yield f"## {component.id}\n"
    yield f"{component.summary}\n"
    yield from (f"{text}\n" for text in _prose(component))
    yield from _facts(component, seen)
    options = list(option_rows(component))
    if options:
        yield "\n| option | type | default | meaning |\n| --- | --- | --- | --- |"
        yield from (f"| `{name}` | {_cell(kind)} | {_cell(_default(default))} | {_cell(text)} |"
                    for name, kind, default, text in options)
    yield f"\n```{_fence(component.kind)}\n{seen.snippet}\n```"
    if seen.inputs:
        yield "\n```\n" + "\n".join(picture(component.id, seen)) + "\n```"
    yield ""


def _fence(kind: str) -> str:
    return "sh" if KIND_TABLE[kind].by_command else "python" if KIND_TABLE[kind].by_head else "yaml"


def _prose(component: Declaration) -> Iterator[str]:
    """What the plugin file says behind its first line, and what its class says: formula, shapes, missing inputs."""
    module = inspect.getmodule(component.module)
    for text in (inspect.getdoc(module) if module else "", inspect.getdoc(component.module)):
        body = (text or "").removeprefix(component.summary).strip()
        if body:
            yield body


def _facts(component: Declaration, seen: Example) -> Iterator[str]:
    facts = {
        "Category": component.category,
        "Rule": f"`{component.rule_text}`" if component.rule_text else "",
        "Missing inputs": f"`{component.absence}`: {ABSENCE[component.absence]}" if component.rule_text else "",
        **{name.capitalize(): text for name, text in component.facts.items()},
        "Results by name": ", ".join(f"`{name}`" for name in seen.outputs if name and not is_loss(name)),
        "Auxiliary losses": ", ".join(f"`{name}`" for name in seen.losses),
        "Cost": f"{amount(seen.parameters)} parameters, {amount(seen.multiply_adds)} multiply-adds for one case"
                if seen.inputs else "",
        "Source": _link(component.paper or ""),
        "Licence": component.licence,
        "Needs": ", ".join(component.needs),
        "Released weights": ", ".join(component.reference) if isinstance(component, Component) else "",
    }
    yield from (f"- {name}: {value}" for name, value in facts.items() if value)


def picture(name: str, seen: Example) -> list[str]:
    """The shapes that go in and come out as lines of text: `first: vector 64 --+-- fusion.sum ---> vector 64`."""
    left, right = _shapes(seen.inputs), _shapes(seen.outputs)
    width, height = max(map(len, left)), max(len(left), len(right))
    gather, spread = ("+" if len(side) > 1 else "-" for side in (left, right))
    left, right = _centred(left, height), _centred(right, height)
    lines = []
    for place, (before, after) in enumerate(zip(left, right, strict=True)):
        is_middle = place == (height - 1) // 2
        into = f"{before:{width}} --" if before else " " * (width + 3)
        through = (f"{gather}-- {name} --{spread}" if is_middle else
                   f"{gather if before else ' '}{' ' * (len(name) + 6)}{spread if after else ' '}")
        lines.append(f"{into}{through}{f'--> {after}' if after else ''}".rstrip())
    return lines


def _shapes(shapes: Mapping[str, TensorShape]) -> list[str]:
    return [f"{f'{name}: ' if name else ''}{shape.layout} {' x '.join(map(str, shape.sizes))}"
            for name, shape in shapes.items()]


def _centred(lines: list[str], height: int) -> list[str]:
    above = (height - 1) // 2 - (len(lines) - 1) // 2
    return [""] * above + lines + [""] * (height - above - len(lines))


def _link(paper: str) -> str:
    if paper.startswith("arXiv:"):
        return f"[{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')})"
    return f"[{paper}](https://doi.org/{paper.removeprefix('doi:')})" if paper.startswith("doi:") else paper


def _default(text: str) -> str:
    return text if text == "needed" else f"`{text.removeprefix('default ')}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _anchor(name: str) -> str:
    return name.replace(".", "")


def write() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for kind in KIND_TABLE:
        path_of(kind).write_text(page(kind), encoding="utf-8")


if __name__ == "__main__":
    write()
