"""The uncertainty method of a command: the graph's own, or the one that the user names."""

from __future__ import annotations

from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.nodes import Step
from fusionkit.options import check_options
from fusionkit.plans import Plan
from fusionkit.registry import Registry, Use
from fusionkit.source import Mapping, Scalar


def method_of(plan: Plan, name: str | None, samples: int | None, registry: Registry) -> Use | None:
    """The method to use: `name`, else the graph's; `samples` overrides its number of passes.

    Raises: GraphError when the id is unknown, of another kind, or has no such option.
    """
    own = plan.uncertainty
    if name is None and (own is None or samples is None):
        return own
    use = name or (own.step.use if own else "")
    span = Span("--uncertainty", 1, 1, use)
    if not use.startswith("uncertainty."):
        raise GraphError(Diagnostic("wrong-kind", f"{use!r} is not an uncertainty method", span,
                                    fix="`fusionkit plugins list --kind uncertainty` shows them"))
    component = registry.load(use, span)
    written = {} if samples is None else {"samples": Scalar(samples, span, str(samples))}
    options = Mapping(dict(written), dict.fromkeys(written, span), span)
    if own is not None and own.step.use == use and own.step.options is not None:
        options = Mapping({**own.step.options.entries, **written}, own.step.options.keys, span)
    config, faults = check_options(component.config, options, use, span)
    if config is None:
        raise GraphError(faults)
    return Use(Step(use, options, span), component, config)
