"""The explanations in use: those that run by default or that a user names, each with its checked options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fusionkit.components.explanation import Explanation, ExplanationMethod
from fusionkit.components.failures import raised
from fusionkit.errors import Diagnostic, FusionkitError, Span, UserError
from fusionkit.explanation.network_view import NetworkView
from fusionkit.explanation.views import RunView
from fusionkit.registry.lookup import Registry
from fusionkit.syntax.options import check_options
from fusionkit.syntax.tree import Items, Leaf, Tree
from fusionkit.syntax.tree import Mapping as MappingNode
from fusionkit.syntax.typed_components import TypedComponent, TypedList, parse_components

if TYPE_CHECKING:
    from fusionkit.components.config import Config

FLAG = "--method"
_EXTRA = 'install "fusionkit[explain]"'


@dataclass(frozen=True, eq=False)
class ChosenExplanation:
    """An explanation with its options."""

    declared: Explanation
    config: Config
    method: ExplanationMethod

    def faults(self, network: NetworkView) -> list[Diagnostic]:
        """What in its options does not fit a network."""
        check = getattr(self.method, "faults", None)
        return list(check(network)) if check else []

    def explain(self, run: RunView) -> Any:
        """Its result as plain data; [] with a note where the network lacks what it needs or a plugin fails."""
        for requirement in self.declared.requires:
            why = run.network.lacks(requirement)
            if why:
                run.note(f"no {self.declared.label}: {why[0]}")
                for line in why[1:]:
                    run.note(line)
                return []
        try:
            return self.method.explain(run)
        except FusionkitError:
            raise
        except Exception as error:  # a plugin may raise anything, and one must not cost the others
            run.note(f"{self.declared.id} fails: {raised(error)}")
            return []


def chosen_explanations(typed: Sequence[str], shorthand: Mapping[str, object], registry: Registry
                        ) -> list[ChosenExplanation]:
    """The explanations in texts such as `gradcam{at: [seen]}`, or those that run by default, in their order.

    `shorthand` are options by name that flags of their own give to every method that has them and does not say
    otherwise.

    Raises: UserError with `bad-method`, `bad-argument`, or the errors of ids, options and packages, each
    with its place.
    """
    specs, found = _named(typed) if typed else (_defaults(registry), [])
    chosen: dict[str, ChosenExplanation] = {}
    used: set[str] = set()
    for spec in specs:
        try:
            if spec.use in chosen:
                raise UserError(Diagnostic("bad-method", f"{spec.use} is named twice", spec.span,
                                           fix="name it once, with all options"))
            made, mine = _explanation_of(spec, shorthand, registry)
        except UserError as error:
            found.extend(error.diagnostics)
        else:
            chosen[spec.use] = made
            used |= mine
    if not found:
        found = [Diagnostic("bad-argument", f"no method that runs has an option {name!r}", Span(f"--{name}", 1, 1),
                            fix=f"leave --{name} out, or name a method that has it") for name in shorthand
                 if name not in used]
    if found:
        raise UserError(found)
    return sorted(chosen.values(), key=lambda each: (each.declared.place, each.declared.id))


def _named(typed: Iterable[str]) -> tuple[list[TypedComponent], list[Diagnostic]]:
    listed = TypedList(FLAG, "bad-method", "method", "shapley,gradcam{at: [NODE]}", Explanation.kind)
    specs: list[TypedComponent] = []
    found: list[Diagnostic] = []
    for text in typed:
        mine, wrong = parse_components(text, listed)
        specs.extend(mine)
        found.extend(wrong)
    return specs, found


def _defaults(registry: Registry) -> list[TypedComponent]:
    """The methods that run where none is named; one of another package that cannot be used is left out."""
    specs = []
    for entry in registry.entries:
        if entry.kind == Explanation.kind:
            spec = TypedComponent(entry.id, None, entry.id, Span(FLAG, 1, 1, entry.id))
            try:
                declared = _load(spec, registry)
            except UserError:
                if entry.package == "fusionkit":
                    specs.append(spec)  # which then says what to install
                continue
            specs += [spec] * declared.by_default
    return specs


def _load(spec: TypedComponent, registry: Registry) -> Explanation:
    try:
        return registry.load(spec.use, spec.span, of=Explanation)
    except UserError as error:
        provider = registry.provider(spec.use)
        if provider is None or not provider.bundled:
            raise
        raise UserError([replace(one, fix=_EXTRA) if one.code == "missing-package" else one
                         for one in error.diagnostics]) from None


def _explanation_of(spec: TypedComponent, shorthand: Mapping[str, object], registry: Registry
                    ) -> tuple[ChosenExplanation, set[str]]:
    """The method that a text names, and which flags give it an option."""
    declared = _load(spec, registry)
    mine = set(shorthand) & declared.config.model_fields.keys()
    entries = {name: _tree(name, shorthand[name]) for name in sorted(mine)}
    keys = {name: tree.span for name, tree in entries.items()}
    if spec.options is not None:
        entries, keys = entries | spec.options.entries, keys | spec.options.keys
    options = MappingNode(entries, keys, spec.span if spec.options is None else spec.options.span)
    config, faults = check_options(declared.config, options if entries else None, spec.use, spec.span)
    if config is None:
        raise UserError(faults)
    return ChosenExplanation(declared, config, declared.module(config)), mine


def _tree(flag: str, value: Any) -> Tree:
    """The value of a flag as if it were written in the options."""
    if isinstance(value, list | tuple):
        typed = Span(f"--{flag}", 1, 1, " ".join(map(str, value)))
        return Items(tuple(Leaf(item, typed) for item in value), typed)
    return Leaf(value, Span(f"--{flag}", 1, 1, str(value)))
