"""Tasks by the words that heads and metrics write."""

from __future__ import annotations

from functools import lru_cache

from fusionkit.components.task import Task, task_word
from fusionkit.errors import GraphError, Span
from fusionkit.registry.lookup import Registry, discover


def task_named(task: str | Task, registry: Registry | None = None, span: Span | None = None) -> Task:
    """The task of a word such as `survival`; without a registry, of what is installed.

    Raises: GraphError as `Registry.load` does.
    """
    if isinstance(task, Task):
        return task
    if registry is None:
        return _installed(task_word(task))
    return registry.load(f"{Task.kind}.{task_word(task)}", span, of=Task)


@lru_cache
def _installed(word: str) -> Task:
    return discover().load(f"{Task.kind}.{word}", of=Task)


def tasks_with_keys(registry: Registry) -> list[Task]:
    """The tasks that can be used whose targets name their columns by keys of their own."""
    found = []
    for entry in registry.entries:
        if entry.kind == Task.kind:
            try:
                task = registry.load(entry.id, of=Task)
            except GraphError:
                continue
            found += [task] if task.keys else []
    return found
