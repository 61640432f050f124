"""Sets one value of a tree from the command line, as in `--set nodes.fused.use=fusion.lmf`."""

from __future__ import annotations

from fusionkit.errors import Diagnostic, GraphError, Span, UserError
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import MAX_DEPTH, TYPED, Items, Leaf, Mapping, Tree


def assign(tree: Tree, assignment: str, error: type[UserError] = GraphError) -> Tree:
    """A copy of the tree with one value set, as in `--set nodes.fused.use=fusion.lmf`.

    Raises: `error` with code `bad-set` if the text is not of the form `a.b=value`, or the path leads through a value.
    """
    path, equals, text = assignment.partition("=")
    file = f"{TYPED} {assignment}"
    span = Span(TYPED, 1, 1, assignment)
    names = path.split(".")
    if not equals or not all(names) or len(names) > MAX_DEPTH:
        raise error(Diagnostic("bad-set", f"{assignment!r} is not an assignment", span,
                               fix="write path.to.value=new, for example nodes.fused.use=fusion.gmu"))
    value = read(text, file, error)
    return _assign(tree, names, value, span, error)


def _assign(tree: Tree | None, names: list[str], value: Tree, span: Span, error: type[UserError]) -> Tree:
    if not names:
        return value
    name, rest = names[0], names[1:]
    if isinstance(tree, Items) and name.isdecimal() and int(name) < len(tree.items):
        position = int(name)
        changed = _assign(tree.items[position], rest, value, span, error)
        return Items((*tree.items[:position], changed, *tree.items[position + 1 :]), tree.span)
    if tree is None or (isinstance(tree, Leaf) and tree.value is None):
        tree = Mapping({}, {}, span)
    if not isinstance(tree, Mapping):
        raise error(Diagnostic("bad-set", f"--set cannot reach {name!r}", span,
                               why="the path leads through a value that has no such part",
                               fix="check the path against the file"))
    entries = {**tree.entries, name: _assign(tree.entries.get(name), rest, value, span, error)}
    return Mapping(entries, {**tree.keys, name: tree.keys.get(name, span)}, tree.span)
