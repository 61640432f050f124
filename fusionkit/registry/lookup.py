"""Look-ups over all providers: ids, components and published graphs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.components.failures import raised
from fusionkit.components.requirements import missing, normal_name, pip_install
from fusionkit.errors import Diagnostic, GraphError, Span, near
from fusionkit.registry.catalogue import Entry
from fusionkit.registry.known_packages import KnownPackage
from fusionkit.registry.providers import DISABLE, Provider, broken, providers

if TYPE_CHECKING:
    from fusionkit.components.component import Component


class Registry:
    """All providers, and the look-ups over them. A component is imported only by `load`."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self.providers = tuple(providers)
        self._owners: dict[str, list[tuple[Provider, Entry]]] = {}
        self._withheld: dict[str, Provider] = {}
        self._others: dict[str, KnownPackage] = {}
        self._graphs: dict[str, list[tuple[Provider, Path]]] = {}
        for provider in self.providers:
            for entry in provider.entries:
                self._owners.setdefault(entry.id, []).append((provider, entry))
            self._withheld.update({entry.id: provider for entry in provider.withheld})
            for other in provider.others:
                self._others.update({name: other for name in other.provides if name not in self._others})
            for path in sorted(provider.graphs.glob("*.yaml")) if provider.graphs else ():
                self._graphs.setdefault(path.stem, []).append((provider, path))

    @property
    def ids(self) -> list[str]:
        """Every id that can be used, sorted."""
        return sorted(self._owners)

    @property
    def entries(self) -> list[Entry]:
        """The entries of every usable component, sorted by id."""
        return [self._owners[name][0][1] for name in self.ids]

    @property
    def graphs(self) -> dict[str, Path]:
        """Published graphs by name; if two have the same name, that of the first provider."""
        return {name: owners[0][1] for name, owners in self._graphs.items()}

    @property
    def others(self) -> list[KnownPackage]:
        """Packages that catalogues list and that are not installed, sorted."""
        present = {normal_name(provider.package) for provider in self.providers}
        absent = {other.package: other for other in self._others.values() if normal_name(other.package) not in present}
        return [absent[name] for name in sorted(absent)]

    @property
    def collisions(self) -> dict[str, list[Provider]]:
        """Ids that more than one provider claims."""
        return {name: [p for p, _ in owners] for name, owners in self._owners.items() if len(owners) > 1}

    @property
    def graph_collisions(self) -> dict[str, list[Provider]]:
        """Names under which more than one provider publishes a graph."""
        return {name: [p for p, _ in owners] for name, owners in self._graphs.items() if len(owners) > 1}

    def provider(self, name: str) -> Provider | None:
        """The provider of an id, None if unknown."""
        owners = self._owners.get(name)
        return owners[0][0] if owners else None

    def known_for(self, name: str) -> KnownPackage | None:
        """The package, installed or not, for which a catalogue lists an id; None if none does."""
        return self._others.get(name)

    def graph(self, name: str) -> Path | None:
        """The file of a published graph, None if there is none of that name.

        Raises: GraphError with `two-providers`.
        """
        owners = self._graphs.get(name, [])
        if len(owners) > 1:
            raise GraphError(Diagnostic("two-providers", f"the graph {name!r} is published by "
                                        f"{' and '.join(str(provider) for provider, _ in owners)}",
                                        why="it is ambiguous which one to use",
                                        fix=f"give its path: {' or '.join(str(path) for _, path in owners)}"))
        return owners[0][1] if owners else None

    def load(self, name: str, span: Span | None = None) -> Component:
        """The component of an id, imported now.

        Raises: GraphError with `unknown-component`, `not-installed`, `two-providers`, `missing-package`,
        `wrong-contract` or `broken-plugin`.
        """
        owners = self._owners.get(name, [])
        if not owners:
            raise GraphError(self._unknown(name, span))
        if len(owners) > 1:
            both = " and ".join(str(provider) for provider, _ in owners)
            raise GraphError(Diagnostic("two-providers", f"{name} is provided by {both}", span,
                                        why="it is ambiguous which one to use",
                                        fix=f"uninstall one, or turn one off: {DISABLE}={owners[-1][0].name}"))
        return _import(*owners[0], span)

    def _unknown(self, name: str, span: Span | None) -> Diagnostic:
        if name in self._withheld:
            provider = self._withheld[name]
            return Diagnostic("wrong-contract", f"{name} of {provider} cannot be used", span, why=provider.problem,
                              fix=provider.fix)
        if name in self._others:
            return self._elsewhere(name, self._others[name], span)
        # A provider whose ids are known does not have this one.
        idle = [f"{p.name} ({p.idle})" for p in self.providers if p.idle and not p.withheld]
        match = self._near(name)
        return Diagnostic("unknown-component", f"there is no component {name!r}", span,
                          why=f"not in use: {'; '.join(idle)}" if idle else None,
                          fix=f"did you mean {match!r}?{self._to_install(match)}" if match else
                          f"`fusionkit plugins list` shows the components of kind {name.partition('.')[0]!r}")

    def _elsewhere(self, name: str, other: KnownPackage, span: Span | None) -> Diagnostic:
        """An id that another package provides: it is not installed, not in use, or of another version."""
        here = next((p for p in self.providers if normal_name(p.package) == normal_name(other.package)), None)
        if here is None:
            return Diagnostic("not-installed", f"{name} is not installed", span, fix=other.install,
                              why=f"it comes with {other.package}, {other.link}")
        if here.idle:
            return Diagnostic("not-installed", f"{name} is not in use", span, fix=here.fix or f"change {DISABLE}",
                              why=f"it comes with {here}: {here.idle}")
        return Diagnostic("not-installed", f"{name} is not in {here}, which is installed", span, fix=other.install,
                          why=f"{other.package}{other.versions} has it")

    def _to_install(self, name: str) -> str:
        other = None if name in self._owners else self._others.get(name)
        return f" It is not installed: {other.install}" if other else ""

    def _near(self, name: str) -> str | None:
        """The nearest id, compared after the dot only, since the same kind makes all ids similar."""
        known = {*self._owners, *self._withheld, *self._others}
        kind, _, rest = name.partition(".")
        others = {other.partition(".")[2]: other for other in known if not other.startswith(f"{kind}.")}
        match = near(rest, [other.partition(".")[2] for other in known if other.startswith(f"{kind}.")])
        return f"{kind}.{match}" if match else others.get(rest)


def _import(provider: Provider, entry: Entry, span: Span | None) -> Component:
    from fusionkit.components.component import Component

    for component in provider.components:
        if component.id == entry.id:
            return component
    lacks = missing(entry.needs)
    if lacks:
        requirements = [lack.requirement for lack in lacks]
        why = "not installed here" if not any(lack.version for lack in lacks) else "; ".join(map(str, lacks))
        raise GraphError(Diagnostic("missing-package", f"{entry.id} needs {', '.join(requirements)}", span, why=why,
                                    fix=pip_install(*requirements)))
    try:
        component = import_module(entry.at).component
    except (Exception, SystemExit) as error:
        raise broken(provider, entry.id, raised(error), span) from error
    if not isinstance(component, Component) or component.id != entry.id:
        actual = component.id if isinstance(component, Component) else type(component).__name__
        raise broken(provider, entry.id, f"its catalogue is stale: {entry.at} contains {actual}", span)
    return component


def discover(files: Sequence[str | Path] = (), components: Sequence[Component] = ()) -> Registry:
    """The registry of every provider: installed packages, files given by the user, components passed in.

    Raises: GraphError with `broken-plugin` or `wrong-contract` for a file.
    """
    return Registry(providers(files, components))
