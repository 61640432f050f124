"""Look-ups over all providers: ids, components and published graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from fusionkit.components.failures import raised
from fusionkit.components.kinds import KIND_TABLE, kind_of
from fusionkit.components.requirements import missing, normal_name, pip_install
from fusionkit.errors import Diagnostic, GraphError, Span, near
from fusionkit.registry.catalogue import Entry
from fusionkit.registry.guard import guarded
from fusionkit.registry.known_packages import KnownPackage
from fusionkit.registry.providers import DISABLE, Provider, broken, own_providers, package_providers

if TYPE_CHECKING:
    from fusionkit.components.component import Component
    from fusionkit.components.declaration import Declaration

Claim = TypeVar("Claim")
Wanted = TypeVar("Wanted", bound="Declaration")


class _Index:
    """The components and graphs of some providers, by id and by name."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self.providers = tuple(providers)
        self.owners: dict[str, list[tuple[Provider, Entry]]] = {}
        self.withheld: dict[str, Provider] = {}
        self.others: dict[str, KnownPackage] = {}
        self.graphs: dict[str, list[tuple[Provider, Path]]] = {}
        self.claims: dict[str, Path] = {}
        for provider in self.providers:
            for entry in provider.entries:
                self.owners.setdefault(entry.id, []).append((provider, entry))
            self.withheld.update({entry.id: provider for entry in provider.withheld})
            for other in provider.others:
                self.others.update({name: other for name in other.provides if name not in self.others})
            for path in _files_in(provider.graphs):
                self.graphs.setdefault(path.stem, []).append((provider, path))
            for path in _files_in(provider.claims):
                self.claims.setdefault(path.stem, path)


def _files_in(folder: Path | None) -> list[Path]:
    """The graph files, or the claims, of a folder; none if it cannot be read."""
    try:
        return sorted(folder.glob("*.yaml")) if folder else []
    except (OSError, ValueError):
        return []


class Registry:
    """All providers, and the look-ups over them. A component is imported only by `load`.

    Bundled components and graphs keep their ids: another package that claims one of them is listed in `collisions`
    without effect. Other packages are loaded, by `packages`, only if something that is not bundled is looked up.
    """

    def __init__(self, providers: Iterable[Provider], packages: Callable[[], Iterable[Provider]] = tuple) -> None:
        self._first = _Index(providers)
        self._packages = packages
        self._imported: dict[str, Declaration] = {}

    @cached_property
    def _whole(self) -> _Index:
        packages = tuple(self._packages())
        if not packages:
            return self._first
        own = self._first.providers
        return _Index((*(each for each in own if each.bundled), *packages,
                       *(each for each in own if not each.bundled)))

    @property
    def providers(self) -> tuple[Provider, ...]:
        """Every provider: the bundled plugins, packages, files, components."""
        return self._whole.providers

    def _owners(self, name: str) -> list[tuple[Provider, Entry]]:
        """The providers of an id, without packages whose claim is ignored; of `id@package`, that package."""
        id, at, package = name.partition("@")
        if at:
            return [(provider, entry) for provider, entry in self._whole.owners.get(id, [])
                    if normal_name(package) in (normal_name(provider.package), normal_name(provider.name))]
        first = self._first.owners.get(name, [])
        return _heard(first) if any(provider.bundled for provider, _ in first) else self._whole.owners.get(name, [])

    @property
    def ids(self) -> list[str]:
        """Every id that can be used, sorted."""
        return sorted(self._whole.owners)

    @property
    def entries(self) -> list[Entry]:
        """The entries of every usable component, sorted by id."""
        return [self._whole.owners[name][0][1] for name in self.ids]

    @property
    def graphs(self) -> dict[str, Path]:
        """Published graphs by name; if two have the same name, that of the first provider."""
        return {name: owners[0][1] for name, owners in self._whole.graphs.items()}

    @property
    def claims(self) -> dict[str, Path]:
        """Published results that can be run again, by name; if two have the same name, that of the first provider."""
        return dict(self._whole.claims)

    @property
    def others(self) -> list[KnownPackage]:
        """Packages that catalogues list and that are not installed, sorted."""
        present = {normal_name(provider.package) for provider in self.providers}
        absent = {other.package: other for other in self._whole.others.values()
                  if normal_name(other.package) not in present}
        return [absent[name] for name in sorted(absent)]

    @property
    def collisions(self) -> dict[str, list[Provider]]:
        """Ids that more than one provider claims."""
        return {name: [p for p, _ in owners] for name, owners in self._whole.owners.items() if len(owners) > 1}

    @property
    def graph_collisions(self) -> dict[str, list[Provider]]:
        """Names under which more than one provider publishes a graph."""
        return {name: [p for p, _ in owners] for name, owners in self._whole.graphs.items() if len(owners) > 1}

    def provider(self, name: str) -> Provider | None:
        """The provider of an id, None if unknown; of what an installed library has, that library."""
        if of_library(name) is not None:
            package = _library(kind_of(name)).package_of(name.partition(".")[2])
            return Provider(package, package, version(package), bundled=True)
        owners = self._owners(name)
        return owners[0][0] if owners else None

    def known_for(self, name: str) -> KnownPackage | None:
        """The package, installed or not, for which a catalogue lists an id; None if none does."""
        return self._whole.others.get(name)

    def graph(self, name: str) -> Path | None:
        """The file of a published graph, None if there is none of that name.

        Raises: GraphError with `two-providers`.
        """
        owners = _heard(self._first.graphs.get(name, []))
        if not any(provider.bundled for provider, _ in owners):
            owners = self._whole.graphs.get(name, [])
        if len(owners) > 1:
            raise GraphError(Diagnostic("two-providers", f"the graph {name!r} is published by "
                                        f"{' and '.join(str(provider) for provider, _ in owners)}",
                                        why="it is ambiguous which one to use",
                                        fix=f"give its path: {' or '.join(str(path) for _, path in owners)}"))
        return owners[0][1] if owners else None

    @overload
    def load(self, name: str, span: Span | None = None) -> Component: ...
    @overload
    def load(self, name: str, span: Span | None = None, *, of: type[Wanted]) -> Wanted: ...
    def load(self, name: str, span: Span | None = None, *, of: type[Declaration] | None = None) -> Declaration:
        """The component of an id, imported now.

        `of` is the class that declares it, without it one that stands in a graph; `Declaration` is any.

        Raises: GraphError with `unknown-component`, `not-installed`, `two-providers`, `missing-package`,
        `wrong-contract`, `wrong-kind` or `broken-plugin`.
        """
        from fusionkit.components.component import Component

        library = of_library(name)
        owners = [] if library else self._owners(name)
        if library is None and not owners:
            raise GraphError(self._unknown(name, span))
        if len(owners) > 1:
            both = " and ".join(str(provider) for provider, _ in owners)
            raise GraphError(Diagnostic("two-providers", f"{name} is provided by {both}", span,
                                        why="it is ambiguous which one to use",
                                        fix=f"name the package: {name}@{owners[0][0].package}; or turn one off: "
                                            f"{DISABLE}={owners[-1][0].name}"))
        # What a component needs is asked once: the versions of packages take milliseconds to read.
        component = library or self._imported.get(name) or _import(*owners[0], span)
        if not library:
            self._imported[name] = component
        if not isinstance(component, of or Component):
            raise GraphError(Diagnostic("wrong-kind", f"{name} cannot be used here", span,
                                        why=f"it is of kind {component.kind!r}",
                                        fix="`fusionkit plugins list --kind KIND` shows the components of a kind"))
        return component

    def _unknown(self, name: str, span: Span | None) -> Diagnostic:
        id, at, package = name.partition("@")
        if at and (others := self._whole.owners.get(id)):
            return Diagnostic("not-installed", f"{id} of {package!r} is not installed", span,
                              why=f"{id} is provided by {' and '.join(str(provider) for provider, _ in others)}",
                              fix=f"write {id!r}, or {f'{id}@{others[0][0].package}'!r}")
        if name in self._whole.withheld:
            provider = self._whole.withheld[name]
            return Diagnostic("wrong-contract", f"{name} of {provider} cannot be used", span, why=provider.problem,
                              fix=provider.fix)
        if name in self._whole.others:
            return self._elsewhere(name, self._whole.others[name], span)
        refusal = _refused_by_library(name)
        if refusal is not None:
            return Diagnostic("unusable-component", f"{name} cannot be used here", span, why=refusal,
                              fix=f"choose another {kind_of(name)}, or declare one in a plugin")
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
        other = None if name in self._whole.owners else self._whole.others.get(name)
        return f" It is not installed: {other.install}" if other else ""

    def _near(self, name: str) -> str | None:
        """The nearest id, compared after the dot only, since the same kind makes all ids similar."""
        known = {*self._whole.owners, *self._whole.withheld, *self._whole.others}
        kind, _, rest = name.partition(".")
        known |= {f"{kind}.{other}" for other in library_names(kind)}
        others = {other.partition(".")[2]: other for other in known if not other.startswith(f"{kind}.")}
        match = near(rest, [other.partition(".")[2] for other in known if other.startswith(f"{kind}.")])
        return f"{kind}.{match}" if match else others.get(rest)


def _library(kind: str) -> Any:
    """The module that finds components of a kind in installed libraries, imported now; None for most kinds."""
    module = KIND_TABLE[kind].library if kind in KIND_TABLE else ""
    return import_module(module) if module else None


def library_names(kind: str) -> list[str]:
    """The names of components of a kind that installed libraries have, without the kind; imports these libraries."""
    module = _library(kind)
    return list(module.names()) if module else []


def of_library(name: str) -> Declaration | None:
    """A component that an installed library has, by its id."""
    kind, _, rest = name.partition(".")
    module = _library(kind)
    found: Declaration | None = module.find(rest) if module else None
    return found


def _refused_by_library(name: str) -> str | None:
    kind, _, rest = name.partition(".")
    module = _library(kind)
    reason: str | None = module.why_not(rest) if module else None
    return reason


def _heard(owners: list[tuple[Provider, Claim]]) -> list[tuple[Provider, Claim]]:
    """The providers whose claim counts: besides the bundled plugins, only those given by the user."""
    if not any(provider.bundled for provider, _ in owners):
        return owners
    return [(provider, claim) for provider, claim in owners if provider.bundled or provider.components]


def _import(provider: Provider, entry: Entry, span: Span | None) -> Declaration:
    from fusionkit.components.declaration import Declaration

    for given in provider.components:
        if given.id == entry.id:
            return given
    lacks = missing(entry.needs)
    if lacks:
        requirements = [lack.requirement for lack in lacks]
        why = "not installed here" if not any(lack.version for lack in lacks) else "; ".join(map(str, lacks))
        raise GraphError(Diagnostic("missing-package", f"{entry.id} needs {', '.join(requirements)}", span, why=why,
                                    fix=pip_install(*requirements)))
    try:
        with nullcontext() if provider.bundled else guarded(provider.package, limited=False):
            component: object = import_module(entry.at).component
    except Exception as error:
        raise broken(provider, entry.id, raised(error), span) from error
    if not isinstance(component, Declaration) or component.id != entry.id:
        actual = component.id if isinstance(component, Declaration) else type(component).__name__
        raise broken(provider, entry.id, f"its catalogue is stale: {entry.at} contains {actual}", span)
    return component


def discover(files: Sequence[str | Path] = (), components: Sequence[Declaration] = ()) -> Registry:
    """The registry of every provider: installed packages, files given by the user, components passed in.

    Other packages are imported only if something that is not bundled is looked up.

    Raises: GraphError with `broken-plugin` or `wrong-contract` for a file.
    """
    return Registry(own_providers(files, components), package_providers)
