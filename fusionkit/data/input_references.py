"""What inputs of a data file say of other inputs: which of them exist, and may be named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fusionkit.data.fields import DataFieldReader
from fusionkit.data.input_spec import InputSpec
from fusionkit.errors import did_you_mean
from fusionkit.syntax.tree import Items, find, to_plain

SAME_GRID = "same_grid"


def read_references(form: DataFieldReader, inputs: Mapping[str, InputSpec]) -> tuple[tuple[str, ...], ...]:
    """The groups of inputs whose volumes must lie on one grid; `like` of inputs is checked too."""
    files = [name for name, spec in inputs.items() if spec.source.files and spec.bag is None]
    _check_like(form, inputs, files)
    return _same_grid(form, files)


def _check_like(form: DataFieldReader, inputs: Mapping[str, InputSpec], files: Sequence[str]) -> None:
    """Report `bad-option` where `like` names no input, the input itself, columns, a bag, or one that is like another.
    """
    for name, spec in inputs.items():
        other = spec.options.like if spec.source.files else None
        if other is None:
            continue
        possible = [each for each in files if each != name and inputs[each].options.like is None]
        if other in possible:
            continue
        why = ("it names the input itself" if other == name else
               f"there is no input {other!r}" if other not in inputs else
               f"{other!r} has several items for a case" if inputs[other].bag is not None else
               f"{other!r} is read from columns" if other not in files else
               f"{other!r} is like {inputs[other].options.like!r} itself, and likenesses do not form chains")
        form.note("bad-option", f"option 'like' of input {name!r} is not accepted",
                  find(form.tree, ("inputs", name, *(["of"] if spec.bag is not None else []), "like")), why,
                  did_you_mean(other, possible, f"name one of {', '.join(possible)}") if possible else "remove 'like'")


def _same_grid(form: DataFieldReader, files: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    tree = form.tree.get(SAME_GRID)
    if tree is None:
        return ()
    written = to_plain(tree)
    groups = [written] if isinstance(written, list) and not any(isinstance(each, list) for each in written) else written
    if not isinstance(tree, Items) or not isinstance(groups, list) or any(
            not isinstance(group, list) or len(group) < 2 for group in groups):
        form.note("bad-value", f"{SAME_GRID!r} must be a list of inputs, or several such lists", tree.span,
                  fix=f"write '{SAME_GRID}: [ct, pet]'")
        return ()
    for name in (str(name) for group in groups for name in group):
        if name not in files:
            form.note("unknown-name", f"{SAME_GRID!r} names {name!r}, which is no input that is read from files",
                      tree.span, fix=did_you_mean(name, files, f"such inputs are {', '.join(files)}"))
    return tuple(tuple(map(str, group)) for group in groups)
