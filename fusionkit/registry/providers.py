"""The providers of components: packages with entry points, and files and components of the user."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from fusionkit.components import hooks
from fusionkit.components.failures import raised
from fusionkit.components.hooks import CONTRACT
from fusionkit.components.requirements import CHANGES, Refusal, contract_refusal, is_former
from fusionkit.errors import Diagnostic, GraphError, Span, UserError, near
from fusionkit.registry.catalogue import Entry, entry_of, read_catalogue
from fusionkit.registry.entry_points import Declared, declared, own_declared
from fusionkit.registry.guard import guarded
from fusionkit.registry.known_packages import KnownPackage
from fusionkit.registry.trial import crash_of, survived

if TYPE_CHECKING:
    from fusionkit.components.declaration import Declaration

DISABLE = "FUSIONKIT_PLUGINS_DISABLE"


@dataclass(frozen=True)
class Provider:
    """One source of components: an installed package, a file given by the user, or Python code.

    `problem` is the reason why it is not in use, `fix` what to do; such a provider has no entries, and `withheld` are
    those that it would have. `others` are packages that its catalogue lists. `notes` are about what it has for later
    versions, which is left out. A `bundled` provider keeps its ids and graphs even if others claim them. `former` is
    the range that it states if it was written for the former contract only.
    """

    name: str
    package: str
    version: str
    entries: tuple[Entry, ...] = ()
    graphs: Path | None = None
    claims: Path | None = None
    problem: str | None = None
    disabled: bool = False
    components: tuple[Declaration, ...] = ()
    fix: str | None = None
    withheld: tuple[Entry, ...] = ()
    others: tuple[KnownPackage, ...] = ()
    bundled: bool = False
    notes: tuple[str, ...] = ()
    former: str = ""

    def __str__(self) -> str:
        return f"{self.package} {self.version}".strip()

    @property
    def idle(self) -> str | None:
        """Why it is not in use; None if it is."""
        return f"turned off by {DISABLE}" if self.disabled else self.problem


@dataclass(frozen=True)
class HookAnswers:
    """The results of a package's hooks, each None if not implemented; `unknown` are hooks of a later version."""

    catalogue: Path | None
    graphs: Path | None
    claims: Path | None
    contract: Any
    unknown: tuple[str, ...] = ()


def call_hooks(module: Any, name: str) -> HookAnswers:
    """The results of the hooks of an entry point's module.

    Raises: ValueError for a misspelt hook, and whatever a hook raises.
    """
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks.PluginSpec)
    manager.register(module, name)
    known = [name for name in vars(hooks.PluginSpec) if not name.startswith("_")]
    unknown = tuple(name for name in dir(module) if name not in known and manager.parse_hookimpl_opts(module, name))
    prefix = f"{hooks.PROJECT}_"
    for hook in unknown:
        if match := near(hook.removeprefix(prefix), [name.removeprefix(prefix) for name in known]):
            raise ValueError(f"it implements {hook}, which is no hook; did you mean {prefix}{match}?")
    catalogues: list[Any] = manager.hook.fusionkit_catalogue()
    folders: list[Any] = manager.hook.fusionkit_graphs()
    claims: list[Any] = manager.hook.fusionkit_claims()
    contracts: list[Any] = manager.hook.fusionkit_contract()
    return HookAnswers(Path(catalogues[0]) if catalogues else None, Path(folders[0]) if folders else None,
                       Path(claims[0]) if claims else None, contracts[0] if contracts else None, unknown)


def own_providers(files: Sequence[str | Path] = (), components: Sequence[Declaration] = ()) -> Iterator[Provider]:
    """The bundled plugins, then files given by the user, then components passed in.

    Raises: GraphError with `broken-plugin` or `wrong-contract` for a file.
    """
    yield from (_installed(each, nullcontext()) for each in own_declared())
    for file in files:
        yield _typed(Path(file))
    if components:
        yield _provider_of("components", "components=", tuple(components))


def package_providers() -> Iterator[Provider]:
    """Other installed packages, imported now; one that fails is returned with its problem.

    `FUSIONKIT_PLUGINS_DISABLE` lists packages to leave out, separated by commas.
    """
    yield from (_installed(each, guarded(each.package)) for each in declared() if not each.own)


def _installed(each: Declared, guard: AbstractContextManager[None]) -> Provider:
    """The provider of an entry point; its module is imported and its hooks are called within the guard."""
    provider = Provider(each.name, each.package, each.version, bundled=each.own)
    disabled = {name.strip() for name in os.environ.get(DISABLE, "").split(",") if name.strip()}
    if {each.name, each.package} & disabled:
        return replace(provider, disabled=True)
    if each.point is None:
        return replace(provider, problem=each.problem, fix=f"reinstall it: pip install --force-reinstall "
                                                           f"{each.package}")
    check = f"`fusionkit plugins check {each.package}` has details"
    try:
        if not each.own and (crash := crash_of(each.point.module, each.version)):
            return replace(provider, problem=crash, fix=f"report it to its author, or turn it off: "
                                                        f"{DISABLE}={each.name}")
        with guard:
            module = each.point.load()
            survived(each.point.module, each.version)
            answers = call_hooks(module, each.name)
            refusal = contract_refusal(answers.contract, each.package)
            if answers.catalogue is None:
                return replace(provider, problem="it does not implement fusionkit_catalogue", fix=check)
            former = answers.contract if is_former(answers.contract) else ""
            graphed = replace(provider, former=former, graphs=None if refusal else answers.graphs,
                              claims=None if refusal else answers.claims, notes=tuple(
                f"it implements the hook {hook}, which this version does not know" for hook in answers.unknown))
            return _with_catalogue(graphed, answers.catalogue, refusal)
    except UserError as error:
        return replace(provider, problem=error.diagnostics[0].render().replace("\n", " "), fix=check)
    except Exception as error:
        return replace(provider, problem=raised(error), fix=check)


def _with_catalogue(provider: Provider, path: Path, refusal: Refusal | None) -> Provider:
    """The provider with the content of its catalogue; if it is refused, its entries are withheld."""
    try:
        catalogue = read_catalogue(path, later=True)
    except UserError:
        if refusal is None:
            raise
        return replace(provider, problem=refusal.seen, fix=refusal.fix)
    entries = tuple(replace(entry, package=provider.package) for entry in catalogue.entries)
    if refusal:
        return replace(provider, problem=refusal.seen, fix=refusal.fix, withheld=entries)
    return replace(provider, entries=entries, others=catalogue.others, notes=(*provider.notes, *catalogue.notes))


def _provider_of(name: str, package: str, components: tuple[Declaration, ...]) -> Provider:
    entries = tuple(entry_of(component, "", package) for component in components)
    return Provider(name, package, "", entries, components=components)


def _typed(path: Path) -> Provider:
    """The components of a Python file given with --plugin; the user has asked for it to be run."""
    from fusionkit.components.declaration import Declaration

    name = f"fusionkit_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    provider = Provider(str(path), str(path), "")
    if spec is None or spec.loader is None or not path.is_file():
        raise broken(provider, "the plugin file", "it is not a readable .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with guarded(str(path), limited=False):
            spec.loader.exec_module(module)
    except Exception as error:
        stated = getattr(module, "CONTRACT", None)
        _check_contract(path, stated)  # which may be why it fails
        provider = replace(provider, former=str(stated) if is_former(stated) else "")
        raise broken(provider, "the plugin file", raised(error)) from error
    _check_contract(path, getattr(module, "CONTRACT", None))
    components = tuple(value for value in vars(module).values() if isinstance(value, Declaration))
    if not components:
        raise broken(provider, "the plugin file", "it declares no component")
    return _provider_of(str(path), str(path), components)


def _check_contract(path: Path, stated: object) -> None:
    refusal = contract_refusal(stated)
    if refusal:
        raise GraphError(Diagnostic("wrong-contract", f"the plugin file {str(path)!r} cannot be used", why=refusal.seen,
                                    fix=refusal.fix))


def broken(provider: Provider, name: str, reason: str, span: Span | None = None) -> GraphError:
    """The error for a part of a provider that does not work."""
    fix = f"report it to its author, or turn it off: {DISABLE}={provider.name}; --verbose shows the traceback"
    if provider.former:
        reason = f"{reason}; it was written for contract {provider.former}, this fusionkit offers {CONTRACT}"
        fix = f"{CHANGES} says what to change since then; {fix}"
    return GraphError(Diagnostic("broken-plugin", f"{name} of {provider} cannot be used", span, why=reason, fix=fix))
