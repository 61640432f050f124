"""Writes what is made from the settings of training: flags of the command line, keywords of Python, a table.

These are fusionkit/training/flags.py, fusionkit/interface/training_options.py and the table in docs/training.md; a test
keeps them fresh.

Run: python tools/training_flags.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

ROOT = Path(__file__).resolve().parent.parent
CORE, PAGE = ROOT / "fusionkit", ROOT / "docs" / "training.md"
_TABLE_HEAD = "| setting | default | meaning |\n| --- | --- | --- |\n"
_HEADER = '''\
"""The training settings for modules that must load fast: no pydantic, no torch.

Made from fusionkit/training/settings.py by tools/training_flags.py; a test keeps it fresh.
"""

from __future__ import annotations

from typing import Any
'''
_OPTIONS = '''\
"""The settings of training as keyword arguments; None means the graph's own.

Made from fusionkit/training/settings.py by tools/training_flags.py; a test keeps it fresh.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class TrainingOptions(TypedDict, total=False):
    """Options that every training takes."""

'''
_RUN_OPTIONS = '''

class RunOptions(TrainingOptions, total=False):
    """Options for training one run."""

'''


def options_text() -> str:
    """The content of fusionkit/interface/training_options.py."""
    from fusionkit.training.settings import TrainingSettings

    fields = TrainingSettings.model_fields
    shared, own = ("".join(_key(name, _plain(field.annotation)) for name, field in fields.items()
                           if name != "stages" and (name in ("fold", "stage")) == of_run) for of_run in (False, True))
    return _OPTIONS + shared + _RUN_OPTIONS + own


def _key(name: str, annotation: str) -> str:
    """One key; a list of choices that is too long for its line has a line of its own."""
    line = f"    {name}: {annotation.removesuffix(' | None')} | None"
    if len(line) <= 120:
        return f"{line}\n"
    outer, inner, choices = annotation.split("[", 2)
    return f"    {name}: {outer}[{inner}[\n        {choices.removesuffix(']]')}]] | None\n"


def flags_text() -> str:
    """The content of fusionkit/training/flags.py."""
    from fusionkit.training.settings import TrainingSettings

    fields = TrainingSettings.model_fields
    lines = [_HEADER, "FLAGS: tuple[tuple[str, Any, str], ...] = ("]
    for name in sorted(fields, key=lambda name: name != "fold"):
        takes = _takes(fields[name].annotation)
        if takes is not None:
            first, text = f"    ({name!r}, {takes},".replace("'", '"'), f"{_quoted(_short(fields[name]))}),"
            lines += [f"{first} {text}"] if len(first) + len(text) < 120 else [first, f"     {text}"]
    lines += [")", '"""Settings as flags of the command line: name, type or choices, help."""', ""]
    return "\n".join(lines)


def page_text() -> str:
    """The content of docs/training.md, its table of settings written anew."""
    from fusionkit.training.settings import TrainingSettings

    table = "".join(f"| `{name}` | `{_default(field.default)}` | {_choices(field.annotation)}{field.description} |\n"
                    for name, field in TrainingSettings.model_fields.items())
    before, head, rest = PAGE.read_text(encoding="utf-8").partition(_TABLE_HEAD)
    assert head, f"{PAGE.name} has no table of settings"
    return before + head + table + re.sub(r"\A(\|.*\n)*", "", rest)


def _default(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _choices(annotation: Any) -> str:
    names = getattr(annotation, "__args__", ())
    return ", ".join(f"`{name}`" for name in names) + ". " if names and all(isinstance(n, str) for n in names) else ""


def _plain(annotation: Any) -> str:
    """An annotation without its bounds, as it is written."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin is Literal:
        return f"Literal[{', '.join(map(_quoted, get_args(annotation)))}]"
    if origin is dict:
        return "dict"
    if origin is list:
        return f"list[{_plain(get_args(annotation)[0])}]"
    if get_args(annotation):
        return " | ".join(_plain(part) for part in get_args(annotation))
    return "None" if annotation is type(None) else str(annotation.__name__)


def _takes(annotation: Any) -> str | None:
    """What a flag takes, None for a setting that is no flag: a type, choices, or choices and a type beside them."""
    plain = _plain(annotation).removesuffix(" | None")
    if plain.startswith("list") or "dict" in plain:
        return None
    if plain.startswith("Literal"):
        words, _, number = plain.removeprefix("Literal[").partition("]")
        return f"(({words},),{number.removeprefix(' |')})" if number else f"({words})"
    return plain


def _short(field: Any) -> str:
    """The help of a flag: what the setting says in short, else the first clause of its description."""
    from fusionkit.training.settings import Short

    for item in field.metadata:
        if isinstance(item, Short):
            return item.text
    clause = re.split(r"[;:]|\\.$", field.description)[0].removesuffix(".")
    return str(clause if clause[:2].isupper() else clause[:1].lower() + clause[1:])


def _quoted(value: str) -> str:
    return f'"{value}"'


FILES = {CORE / "training" / "flags.py": flags_text, CORE / "interface" / "training_options.py": options_text,
         PAGE: page_text}


def main() -> None:
    """Write all of them."""
    for path, text in FILES.items():
        path.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
