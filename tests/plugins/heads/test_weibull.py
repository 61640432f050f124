"""The Weibull head: likelihood and curves as recorded, what follows from them, and the unit of time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from fusionkit_plugins.heads.weibull import Weibull, WeibullConfig, component
from recorded import GOLDEN
from torch import Tensor

from fusionkit.api import Vector

with np.load(GOLDEN / "outcomes" / "survival_weibull.npz") as file:
    CASE = {key: file[key] for key in file.files}


def double(name: str) -> Tensor:
    return torch.as_tensor(CASE[name]).double()


OUTPUT = torch.stack([double("log_scale"), double("log_shape")], 1)
TARGET = torch.stack([double("time"), double("event")], 1)


def head(**options: Any) -> Weibull:
    torch.manual_seed(0)
    config = WeibullConfig.model_validate({"horizons": [6, 12, 24], **options})
    module: Weibull = component.module(config, [Vector((3,))])
    return module.double()


def test_losses_curves_and_medians_are_as_recorded() -> None:
    module = head()
    torch.testing.assert_close(module.loss(OUTPUT, TARGET), double("out_nll"), rtol=0, atol=1e-9)
    torch.testing.assert_close(module.curve(OUTPUT, double("query")), double("out_survival"), rtol=0, atol=1e-9)
    torch.testing.assert_close(module.details(OUTPUT)["median"], double("out_median"), rtol=0, atol=1e-9)
    torch.testing.assert_close(head().float().loss(OUTPUT.float(), TARGET.float()), double("out_nll").float(), rtol=0,
                               atol=1e-5)


def test_the_mean_time_is_the_area_under_the_curve() -> None:
    fine = torch.linspace(0, 24, 48001, dtype=torch.float64)
    area = torch.trapezoid(head().curve(OUTPUT, fine), fine)
    torch.testing.assert_close(head().details(OUTPUT)["rmst@24"], area, rtol=1e-5, atol=0)


def test_the_unit_of_time_is_taken_off_and_given_back() -> None:
    module, medians = head(), double("time").quantile(0.5)
    module.prepare(TARGET)
    relative = OUTPUT - torch.tensor([1.0, 0.0], dtype=torch.float64) * medians.log()
    torch.testing.assert_close(module.loss(relative, TARGET), double("out_nll"), rtol=0, atol=1e-6)
    days, horizons = head(horizons=[30 * 6, 30 * 12, 30 * 24]), TARGET * torch.tensor([30.0, 1.0])
    days.prepare(horizons)
    torch.testing.assert_close(days.decode(relative), module.decode(relative))


def test_cases_without_a_target_and_wild_shapes_have_finite_gradients() -> None:
    output = torch.tensor([[0.0, 9.0], [0.0, -9.0], [1.0, 0.0]], requires_grad=True)
    target = torch.tensor([[1.5, 1.0], [3.0, 0.0], [0.0, 0.0]])
    losses = head().float().loss(output, target)
    gradient, = torch.autograd.grad(losses.sum(), output)
    assert losses[2] == 0 and bool(losses.isfinite().all()) and bool(gradient.isfinite().all())
    assert not gradient[2].any()


def test_risk_is_the_scale_where_the_shape_is_shared() -> None:
    shared = head(shape="shared")
    output = shared(torch.randn(5, 3, dtype=torch.float64))
    torch.testing.assert_close(shared.risk(output), -output[:, 0])
    torch.testing.assert_close(head().risk(OUTPUT), 1 - double("out_survival")[:, -1])
    assert "log_shape" in dict(shared.named_parameters())
