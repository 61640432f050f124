"""`fusionkit plugins list`: what is installed, from the catalogues, importing no component."""

from __future__ import annotations

from argparse import Namespace

from fusionkit.console import Console
from fusionkit.registry import discover


def run(args: Namespace, console: Console) -> int:
    """The components by kind, then providers that are not in use, each with its reason."""
    registry = discover()
    entries = [entry for entry in registry.entries if not args.kind or entry.kind == args.kind]
    console.table(["id", "summary", "absent", "from"],
                  [[entry.id, entry.summary, entry.absent, entry.package] for entry in entries])
    idle = [provider for provider in registry.providers if provider.problem or provider.disabled]
    for provider in idle:
        console.line(f"not in use: {provider.name} ({provider}): {provider.problem or 'turned off'}")
    for name, owners in registry.collisions.items():
        console.line(f"claimed twice: {name}: {' and '.join(map(str, owners))}")
    graphs = registry.graphs
    if not args.kind and graphs:
        console.line(f"\npublished graphs: {', '.join(graphs)}")
    console.data({
        "components": [entry.as_json() for entry in entries],
        "not_in_use": [{"name": p.name, "package": p.package, "problem": p.problem or "turned off"} for p in idle],
        "collisions": {name: [str(owner) for owner in owners] for name, owners in registry.collisions.items()},
        "graphs": sorted(graphs),
    })
    return 0
