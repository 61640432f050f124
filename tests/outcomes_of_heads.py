"""Recorded losses, gradients and predictions of heads of survival and grades, computed by their components.

Each function takes the entries of a file and gives entry, what is found, what is recorded, and the tolerance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from outcome_entries import EQUAL, EXACT, SINGLE, Entries
from torch import Tensor, nn

from fusionkit.api import Vector
from fusionkit.evaluation.chosen_metrics import metrics_named
from fusionkit.evaluation.report import evaluate_predictions
from fusionkit.registry.lookup import discover


def double(values: Any) -> Tensor:
    """An array in double precision."""
    return torch.as_tensor(np.asarray(values)).double()


def head(name: str, widths: Sequence[int], **options: Any) -> Any:
    """A head in double precision, as a network has it."""
    component = discover().load(f"head.{name}")
    return component.module(component.config.model_validate(options), [Vector((width,)) for width in widths]).double()


def _with_gradient(module: Any, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    given = output.clone().requires_grad_()
    losses = module.loss(given, target)
    gradient, = torch.autograd.grad(losses.sum(), given)
    return losses.detach(), gradient


def _times(case: Mapping[str, Any]) -> Tensor:
    return torch.stack([double(case["time"]), double(case["event"])], 1)


def cox(case: Mapping[str, Any]) -> Entries:
    """The partial likelihood and its gradient, by both ways of ties, with and without strata."""
    log_hazard, target = double(case["log_hazard"])[:, None], _times(case)
    place = torch.as_tensor(np.unique(case["strata"], return_inverse=True)[1]).double()[:, None] + 1
    for ties in ("efron", "breslow"):
        plain = head("cox", (3,), horizons=[1], ties=ties)
        strata = head("cox_strata", (3, int(place.max())), horizons=[1], ties=ties)
        for mark, module, output in (("", plain, log_hazard),
                                     ("_strata", strata, torch.cat([log_hazard, place], 1))):
            losses, gradient = _with_gradient(module, output, target)
            yield f"out_{ties}{mark}_sum", losses.sum().item(), case[f"out_{ties}{mark}_sum"], EXACT
            yield f"grad_{ties}{mark}", gradient[:, 0].numpy(), case[f"grad_{ties}{mark}"], EXACT


def accumulated(case: Mapping[str, Any]) -> Entries:
    """The gradients of one large batch."""
    features, event = double(case["features"]), double(case["event"])
    layer = nn.Linear(features.shape[1], 1).double()
    layer.weight.data, layer.bias.data = double(case["weight"]), double(case["bias"])
    output = layer(features)
    output.retain_grad()
    loss = head("cox", (3,), horizons=[1]).loss(output, _times(case)).sum() / event.sum()
    loss.backward()
    yield "loss", loss.item(), case["loss"], EXACT
    for key, part in (("weight", layer.weight), ("bias", layer.bias)):
        yield f"grad_{key}", part.grad, case[f"grad_{key}"], EXACT
    yield "grad_log_hazard", output.grad[:, 0] if output.grad is not None else None, case["grad_log_hazard"], EXACT


def small_losses(cases: Sequence[Mapping[str, Any]]) -> Entries:
    """Sums of the losses of small cases by hand."""
    for case in cases:
        for ties in ("efron", "breslow"):
            module = head("cox", (3,), horizons=[1], ties=ties)
            losses = module.loss(double(case["log_hazard"])[:, None], _times(case))
            yield f"{case['name']}, {ties}", losses.sum().item(), case[ties], EXACT


def discrete(case: Mapping[str, Any]) -> Entries:
    """Hazards of intervals by three links: losses, survival at the edges and between them."""
    target, logits, edges = _times(case), double(case["logits"]), case["edges"][1:].tolist()
    given: dict[str, Any] = {"horizons": [edges[-1]], "edges": edges}
    for link in ("logistic_hazard", "pmf", "mtlr"):
        module = head("hazards", (3,), link=link, **given)
        yield f"out_nll_{link}", module.loss(logits, target), case[f"out_nll_{link}"], EXACT
        yield (f"out_nll_{link}, single precision", module.float().loss(logits.float(), target.float()),
               case[f"out_nll_{link}"], SINGLE)
        module = module.double()
        yield (f"out_survival_{link}", module.curve(logits, double(edges)), case[f"out_survival_{link}"], EXACT)
    for between in ("hazard", "density"):
        found = head("hazards", (3,), between=between, **given).curve(logits, double(case["query"]))
        yield f"out_survival_constant_{between}", found, case[f"out_survival_constant_{between}"], EXACT


def weibull(case: Mapping[str, Any]) -> Entries:
    """Losses, survival and medians by scale and shape."""
    output, query = torch.stack([double(case["log_scale"]), double(case["log_shape"])], 1), case["query"]
    module = head("weibull", (3,), horizons=query.tolist())
    yield "out_nll", module.loss(output, _times(case)), case["out_nll"], EXACT
    yield "out_survival", module.curve(output, double(query)), case["out_survival"], EXACT
    yield "out_median", module.details(output)["median"], case["out_median"], EXACT


def grades(case: Mapping[str, Any]) -> Entries:
    """Losses, gradients and probabilities of three links of grades, and what metrics make of them."""
    count = case["coral_bias"].shape[0] + 1
    names, grade = [str(number) for number in range(count)], torch.as_tensor(case["grade"]).long()
    for link, wanted in (("coral", "grad_coral"), ("corn", "grad_corn_sum")):
        module = head("ordinal", (1 if link == "coral" else count - 1,), grades=names, link=link, layer="none")
        logits = double(case[f"{link}_logits"])
        if link == "coral":
            module.bias.data = double(case["coral_bias"])
        losses, gradient = _with_gradient(module, logits, grade)
        yield f"out_{link}", losses, case["out_coral" if link == "coral" else "out_corn_each"], EXACT
        yield wanted, gradient, case[wanted], EXACT
        yield f"out_{link}_cumulative", module.above(logits), case[f"out_{link}_cumulative"], EXACT
        if link == "corn":
            yield "out_corn_probabilities", module.decode(logits), case["out_corn_probabilities"], EXACT
        else:
            yield ("out_coral_label", (module.above(logits) > 0.5).sum(1), case["out_coral_label"], EQUAL)
    module = head("ordinal", (1,), grades=names, link="cumulative", layer="none")
    thresholds = double(case["thresholds"])
    module.first.data, module.steps.data = thresholds[:1], thresholds.diff().expm1().log()
    logits = module(double(case["score"])[:, None]).detach()
    yield "out_link", module.loss(logits, grade), case["out_link"], EXACT
    yield "out_link_probabilities", module.decode(logits), case["out_link_probabilities"], EXACT
    yield from _measured(case, names)


def _measured(case: Mapping[str, Any], names: list[str]) -> Entries:
    wanted = json.loads(str(case["metrics"]))
    keys = {"qwk": "qwk_median", "grade_mae": "mae_median", "grade_mae_macro": "mae_macro_median",
            "within_one": "within_one", "accuracy": "accuracy", "ordinal_c": "ordinal_c",
            "ordinal_c_pairs": "ordinal_c_mean_of_pairs", "rps": "rps_normalised"}
    report = evaluate_predictions("grade", "ordinal", names, case["grade"], case["out_link_probabilities"],
                                  resamples=0, metrics=metrics_named(",".join(keys), discover(), "--metric"))
    for key, out in keys.items():
        yield f"metrics.{out}", report.metrics[key].value, wanted[out], EXACT
