"""The key by which a file of ours says which version of its form it has."""

from __future__ import annotations

from fusionkit.errors import Span
from fusionkit.syntax.tree import Leaf, Mapping, Tree


def unread_version(tree: Tree, key: str, version: int) -> Span | None:
    """Where a file says that it is not of this version, or should say that it is; None if all is well.

    Of a file that is no mapping something else is wrong, and None is given.
    """
    written = tree.get(key) if isinstance(tree, Mapping) else None
    if written is None:
        return tree.span if isinstance(tree, Mapping) else None
    same = isinstance(written, Leaf) and written.value == version and not isinstance(written.value, bool)
    return None if same else written.span
