"""Who is installed and what each brings; a graph's ids become components and their options are checked."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from fusionkit import hooks
from fusionkit.catalogue import Entry, entry_of, read_catalogue
from fusionkit.errors import Diagnostic, GraphError, Span, UserError, in_file_order, near
from fusionkit.graph import from_tree
from fusionkit.nodes import Graph, Step
from fusionkit.source import Tree

if TYPE_CHECKING:
    from fusionkit.contract import Component, Config

GROUP = "fusionkit"
DISABLE = "FUSIONKIT_PLUGINS_DISABLE"


@dataclass(frozen=True)
class Provider:
    """One source of components: an installed package, a file typed by the user, or Python code.

    `problem` says why it is not in use; such a provider has no entries.
    """

    name: str
    package: str
    version: str
    entries: tuple[Entry, ...] = ()
    graphs: Path | None = None
    problem: str | None = None
    disabled: bool = False
    components: tuple[Component, ...] = ()

    def __str__(self) -> str:
        return f"{self.package} {self.version}".strip()


class Registry:
    """All providers, and the look-ups over them. Nothing here imports a component until it is asked to."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self.providers = tuple(providers)
        self._owners: dict[str, list[tuple[Provider, Entry]]] = {}
        self._hints: dict[str, Entry] = {}
        for provider in self.providers:
            for entry in provider.entries:
                if entry.package == provider.package:
                    self._owners.setdefault(entry.id, []).append((provider, entry))
                else:
                    self._hints[entry.id] = entry

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
        """Published graphs by name."""
        folders = [provider.graphs for provider in self.providers if provider.graphs]
        return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}

    @property
    def collisions(self) -> dict[str, list[Provider]]:
        """Ids that more than one provider claims."""
        return {name: [p for p, _ in owners] for name, owners in self._owners.items() if len(owners) > 1}

    def provider(self, name: str) -> Provider | None:
        """The provider of an id, None when it is unknown."""
        owners = self._owners.get(name)
        return owners[0][0] if owners else None

    def load(self, name: str, span: Span | None = None) -> Component:
        """The component of an id, imported now.

        Raises: GraphError with `unknown-component`, `not-installed`, `two-providers`, `missing-package` or
        `broken-plugin`.
        """
        owners = self._owners.get(name, [])
        if not owners:
            raise GraphError(self._unknown(name, span))
        if len(owners) > 1:
            both = " and ".join(str(provider) for provider, _ in owners)
            raise GraphError(Diagnostic("two-providers", f"{name} is provided by {both}", span,
                                        why="nothing says which of them is meant",
                                        fix=f"uninstall one, or turn one off: {DISABLE}={owners[-1][0].name}"))
        return _import(*owners[0], span)

    def _unknown(self, name: str, span: Span | None) -> Diagnostic:
        hint = self._hints.get(name)
        if hint:
            return Diagnostic("not-installed", f"{name} is not installed", span, why=f"it comes with {hint.package}",
                              fix=f"pip install {hint.package}")
        idle = [f"{p.name} ({'turned off by ' + DISABLE if p.disabled else p.problem})" for p in self.providers
                if p.problem or p.disabled]
        match = self._near(name)
        return Diagnostic("unknown-component", f"there is no component {name!r}", span,
                          why=f"not in use: {'; '.join(idle)}" if idle else None,
                          fix=f"did you mean {match!r}?" if match else
                          f"`fusionkit plugins list` shows the components of kind {name.partition('.')[0]!r}")

    def _near(self, name: str) -> str | None:
        """The id that was meant: compared after the dot, since equal kinds make all ids alike."""
        kind, _, rest = name.partition(".")
        others = {known.partition(".")[2]: known for known in self.ids if not known.startswith(f"{kind}.")}
        match = near(rest, [known.partition(".")[2] for known in self.ids if known.startswith(f"{kind}.")])
        return f"{kind}.{match}" if match else others.get(rest)


def _import(provider: Provider, entry: Entry, span: Span | None) -> Component:
    from fusionkit.contract import Component

    for component in provider.components:
        if component.id == entry.id:
            return component
    missing = [need for need in entry.needs if not _installed(need)]
    if missing:
        raise GraphError(Diagnostic("missing-package", f"{entry.id} needs {', '.join(missing)}", span,
                                    why="not installed here", fix=f"pip install {' '.join(missing)}"))
    try:
        component = import_module(entry.at).component
    except (Exception, SystemExit) as error:
        raise _broken(provider, entry.id, _reason(error), span) from error
    if not isinstance(component, Component) or component.id != entry.id:
        said = component.id if isinstance(component, Component) else type(component).__name__
        raise _broken(provider, entry.id, f"its catalogue is stale: {entry.at} holds {said}", span)
    return component


def _broken(provider: Provider, name: str, reason: str, span: Span | None) -> GraphError:
    return GraphError(Diagnostic("broken-plugin", f"{name} of {provider} cannot be used", span, why=reason,
                                 fix=f"tell its author, or turn it off: {DISABLE}={provider.name}; "
                                     "--verbose shows the traceback"))


def _reason(error: BaseException) -> str:
    """An exception in one line, with the place in the plugin where it was raised."""
    trace, place = error.__traceback__, ""
    while trace:
        frame = trace.tb_frame.f_code.co_filename
        if not frame.startswith("<"):
            place = f" ({frame}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{place}"


def _installed(requirement: str) -> bool:
    try:
        importlib.metadata.version(requirement)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def discover(files: Sequence[str | Path] = (), components: Sequence[Component] = ()) -> Registry:
    """Every provider: installed packages, then files typed by the user, then components handed over.

    A package that fails is listed with its problem and harms nobody else; a file that the user typed and
    that fails is an error. `FUSIONKIT_PLUGINS_DISABLE` names providers to leave out, split by commas.
    Raises: GraphError with `broken-plugin` for a file.
    """
    disabled = {name.strip() for name in os.environ.get(DISABLE, "").split(",") if name.strip()}
    points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: (point.name != "bundled",
                                                                                     point.name))
    providers = [_installed_provider(point, disabled) for point in points]
    providers.extend(_file_provider(Path(file)) for file in files)
    if components:
        providers.append(_provider_of("components", "components=", tuple(components)))
    return Registry(providers)


def _installed_provider(point: importlib.metadata.EntryPoint, disabled: set[str]) -> Provider:
    package = point.dist.name if point.dist else point.name
    version = point.dist.version if point.dist else ""
    if {point.name, package} & disabled:
        return Provider(point.name, package, version, disabled=True)
    try:
        manager = pluggy.PluginManager(hooks.PROJECT)
        manager.add_hookspecs(hooks.PluginSpec)
        manager.register(point.load(), point.name)
        manager.check_pending()
        catalogues: list[Path] = manager.hook.fusionkit_catalogue()
        folders: list[Path] = manager.hook.fusionkit_graphs()
        if not catalogues:
            return Provider(point.name, package, version, problem="it does not implement fusionkit_catalogue")
        entries = tuple(read_catalogue(Path(catalogues[0])))
    except UserError as error:
        return Provider(point.name, package, version, problem=error.diagnostics[0].render().replace("\n", " "))
    except (Exception, SystemExit) as error:
        return Provider(point.name, package, version, problem=_reason(error))
    return Provider(point.name, package, version, entries, Path(folders[0]) if folders else None)


def _provider_of(name: str, package: str, components: tuple[Component, ...]) -> Provider:
    entries = tuple(entry_of(component, "", package) for component in components)
    return Provider(name, package, "", entries, components=components)


def _file_provider(path: Path) -> Provider:
    """The components of a Python file that the user typed after --plugin; running it is what he asked for."""
    from fusionkit.contract import Component

    name = f"fusionkit_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    provider = Provider(str(path), str(path), "")
    if spec is None or spec.loader is None or not path.is_file():
        raise _broken(provider, "the plugin file", "it is not a readable .py file", None)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _broken(provider, "the plugin file", _reason(error), None) from error
    components = tuple(value for value in vars(module).values() if isinstance(value, Component))
    if not components:
        raise _broken(provider, "the plugin file", "it declares no component", None)
    return _provider_of(str(path), str(path), components)


@dataclass(frozen=True)
class Use:
    """One step with its component and its checked options."""

    step: Step
    component: Component
    config: Config


@dataclass(frozen=True)
class Resolved:
    """A graph whose every id is a component and whose every option is checked."""

    graph: Graph
    uses: dict[str, tuple[Use, ...]]
    uncertainty: Use | None
    packages: dict[str, str]


def resolve(graph: Graph, registry: Registry) -> Resolved:
    """The components and checked options of every node.

    Raises: GraphError with all that is wrong with ids, plugins and options.
    """
    found: list[Diagnostic] = []
    causes: list[BaseException] = []
    uses = {node.name: tuple(_use(step, registry, found, causes) for step in node.steps) for node in graph.nodes}
    uncertainty = _use(graph.uncertainty, registry, found, causes) if graph.uncertainty else None
    if found:
        raise GraphError(in_file_order(found)) from (causes[0] if causes else None)
    done = {name: tuple(use for use in group if use) for name, group in uses.items()}
    steps = [use.step for group in done.values() for use in group] + ([uncertainty.step] if uncertainty else [])
    owners = [owner for step in steps if (owner := registry.provider(step.use))]
    packages = {owner.package: owner.version for owner in owners}
    return Resolved(graph, done, uncertainty, packages)


def resolve_tree(tree: Tree, registry: Registry) -> Resolved:
    """The components and options of a graph's tree; faults of its structure, ids and options are told together.

    Raises: GraphError with all of them, in the order of the file.
    """
    try:
        graph = from_tree(tree)
    except GraphError as error:
        found = list(error.diagnostics)
        try:
            resolve(error.partial, registry)
        except GraphError as more:
            found.extend(more.diagnostics)
        raise GraphError(in_file_order(found)) from None
    return resolve(graph, registry)


def _use(step: Step, registry: Registry, found: list[Diagnostic], causes: list[BaseException]) -> Use | None:
    from fusionkit.options import check_options

    if not step.use:
        return None  # what stands there is no id, which is told already
    try:
        component = registry.load(step.use, step.span)
    except GraphError as error:
        found.extend(error.diagnostics)
        if error.__cause__:
            causes.append(error.__cause__)
        return None
    config: Any
    config, faults = check_options(component.config, step.options, step.use, step.span)
    found.extend(faults)
    return Use(step, component, config) if config is not None else None
