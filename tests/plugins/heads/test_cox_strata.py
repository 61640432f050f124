"""Cox's model by strata: losses as recorded, a baseline for each stratum, and cases of none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.blocks.cox import breslow_baseline
from fusionkit_plugins.heads.cox import CoxConfig
from fusionkit_plugins.heads.cox_strata import CoxStrata, component
from recorded import GOLDEN
from torch import Tensor

from fusionkit.api import ComponentError, Vector

with np.load(GOLDEN / "outcomes" / "survival_cox_ties.npz") as file:
    CASE = {key: file[key] for key in file.files}
TARGET = torch.stack([torch.as_tensor(CASE["time"]).double(), torch.as_tensor(CASE["event"]).double()], 1)
PLACES = torch.as_tensor(np.unique(CASE["strata"], return_inverse=True)[1])
OUTPUT = torch.stack([torch.as_tensor(CASE["log_hazard"]).double(), PLACES.double() + 1], 1)


def head(strata: int = 0, **options: Any) -> CoxStrata:
    torch.manual_seed(0)
    width = strata or int(PLACES.max()) + 1
    config = CoxConfig.model_validate({"horizons": [6, 12, 24], **options})
    module: CoxStrata = component.module(config, [Vector((3,)), Vector((width,))])
    return module.double()


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_losses_and_gradients_are_as_recorded(ties: str) -> None:
    output = OUTPUT.clone().requires_grad_()
    loss = head(ties=ties).loss(output, TARGET).sum()
    gradient, = torch.autograd.grad(loss, output)
    assert loss.item() == pytest.approx(float(CASE[f"out_{ties}_strata_sum"]), abs=1e-9)
    np.testing.assert_allclose(gradient[:, 0].numpy(), CASE[f"grad_{ties}_strata"], rtol=0, atol=1e-9)
    assert not gradient[:, 1].any()


def test_each_stratum_has_a_baseline_and_all_cases_one() -> None:
    module = head()
    assert not module.settled and torch.equal(module.risk(OUTPUT), OUTPUT[:, 0])
    module.settle(OUTPUT, TARGET)
    horizons = module.horizons.double()

    def survival(rows: Tensor, at: float) -> Tensor:
        times, hazard = breslow_baseline(OUTPUT[rows, 0], TARGET[rows, 0], TARGET[rows, 1])
        return (-torch.where(times <= at, hazard, 0).amax() * OUTPUT[:, 0].exp()).exp()

    found, everyone = module.decode(OUTPUT), torch.ones(len(OUTPUT), dtype=torch.bool)
    for column, at in enumerate(horizons.tolist()):
        for place in range(int(PLACES.max()) + 1):
            own = place == PLACES
            torch.testing.assert_close(found[own, column], survival(own, at)[own])
        unknown = torch.stack([OUTPUT[:, 0], torch.zeros(len(OUTPUT))], 1)
        torch.testing.assert_close(module.decode(unknown)[:, column], survival(everyone, at))
    torch.testing.assert_close(module.risk(OUTPUT), 1 - found[:, -1])
    details = module.details(OUTPUT)
    fine = torch.linspace(0, 24, 24001, dtype=torch.float64)
    torch.testing.assert_close(details["rmst@24"], torch.trapezoid(module.curve(OUTPUT, fine), fine), rtol=2e-4, atol=0)


def test_a_stratum_without_an_event_has_the_baseline_of_all() -> None:
    module, output, target = head(4), OUTPUT.clone(), TARGET.clone()
    target[PLACES == 0, 1] = 0
    module.settle(output, target)
    assert torch.equal(module.baseline_hazard[1], module.baseline_hazard[0])
    assert torch.equal(module.baseline_hazard[4], module.baseline_hazard[0])
    assert not torch.equal(module.baseline_hazard[2], module.baseline_hazard[0])


def test_the_stratum_is_where_the_one_is() -> None:
    stratum = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1]]).double()
    assert head(3)(torch.zeros(4, 3).double(), stratum)[:, 1].tolist() == [2, 1, 0, 3]


def test_one_stratum_is_refused() -> None:
    with pytest.raises(ComponentError, match="one stratum"):
        head(1)
