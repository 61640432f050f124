"""Cases that a training method holds out, and copies that it trains to see what a loss alone would learn."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.training.gblend import GBlend, GBlendConfig, blended
from recorded import GOLDEN
from small_runs import Repeated, differing, unimodal, weights

from fusionkit.api import Config, LossChange, Training, TrainingMethod
from fusionkit.components.config import ContractError
from fusionkit.errors import RunError, UserError
from fusionkit.registry.lookup import discover
from fusionkit.training.held_apart import apart
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings, read_settings
from fusionkit.training.signals import Interrupted


def using(hooks: type[TrainingMethod], holds_out: str = "holdout", options: type[Config] = GBlendConfig,
          values: Any = None, **more: Any) -> TrainingSettings:
    method = Training("probe", options, hooks, requires="heads", holds_out=holds_out)
    given = {"device": "cpu", "threads": 1, "epochs": 3, "batch_size": 5, "learning_rate": 0.01, "checkpoint_steps": 1,
             "method": {"use": "training.probe", "with": {"holdout": 0.25, "every": 1, **(values or {})}}, **more}
    return read_settings(None, given, discover(components=[method]))


class Owned(Repeated):
    """Cases of nine patients."""

    patients = tuple(f"patient {row % 9}" for row in range(23))


@pytest.mark.parametrize("name", ["one_gets_worse", "three_branches"])
def test_weights_are_those_of_the_formula(name: str) -> None:
    case = np.load(GOLDEN / "methods" / "gblend" / f"{name}.npz")
    given = [case[f"in_{part}64"] for part in ("train_start", "train_end", "valid_start", "valid_end")]
    changes = [LossChange(*losses) for losses in zip(*given, strict=True)]
    assert blended(changes, least=0.0) == pytest.approx(case["out_weights64"], rel=1e-9)


def test_what_is_held_out_is_never_learned_from_and_patients_stay_whole(tmp_path: Path) -> None:
    seen: dict[str, list[set[int]]] = {"held": [], "learned": [], "steps": []}

    class Looks(TrainingMethod):
        def begin_epoch(self, view: Any) -> None:
            for name, cases in (("held", view.held_out()), ("learned", view.training_cases())):
                seen[name].append({int(row) for each in cases for row in each.batch.index})
            seen["steps"].append(set())

        def total(self, losses: Any, view: Any) -> Any:
            seen["steps"][-1] |= set(view.batch.batch.index.tolist())
            return super().total(losses, view)

    result = fit(unimodal(), Owned(), None, using(Looks, epochs=2), tmp_path)
    held, learned = seen["held"][0], seen["learned"][0]
    assert held == seen["held"][1] and not held & learned and held | learned == set(range(23))
    assert len(held) >= 6 and result.state.cases == len(learned)
    assert seen["steps"] == [learned, learned]
    assert not {row % 9 for row in held} & {row % 9 for row in learned}


def test_a_copy_learns_the_loss_and_leaves_the_network_alone(tmp_path: Path) -> None:
    changes = []

    class Copies(TrainingMethod):
        def begin_epoch(self, view: Any) -> None:
            changes.append([view.train_copy(head, 12) for head in ("kind", "kind", "by_table")])

    model, plain = unimodal(), unimodal()
    fit(model, Owned(), None, using(Copies, epochs=1), tmp_path / "copies")
    fit(plain, Owned(), None, using(TrainingMethod, epochs=1), tmp_path / "plain")
    assert not differing(weights(model), weights(plain))
    [(first, again, other)] = changes
    assert first == again and first.learned_after < 0.7 * first.learned_before
    assert first.held_after != first.held_before and other.learned_before != first.learned_before


def test_a_run_that_blends_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    def run(name: str, **more: Any) -> tuple[dict[str, torch.Tensor], Any]:
        model = unimodal()
        result = fit(model, Owned(), Repeated(11, 1), using(GBlend), tmp_path / name, **more)
        return weights(model), result.history[-1]["method_weight_kind"]

    def interrupt(epoch: int, step: int, steps: int, loss: float) -> None:
        if (epoch, step) == (2, 2):
            os.kill(os.getpid(), signal.SIGINT)

    whole = run("whole")
    with pytest.raises(Interrupted):
        run("parts", progress=interrupt)
    resumed = run("parts", resume=True)
    assert not differing(resumed[0], whole[0]) and resumed[1] == whole[1]


def test_a_method_that_holds_nothing_out_is_told(tmp_path: Path) -> None:
    for hook, told in (("held_out", "no cases are held out"), ("train_copy", "a copy needs cases that are held out")):
        class Asks(TrainingMethod):
            def begin_epoch(self, view: Any, hook: str = hook) -> None:
                list(view.held_out()) if hook == "held_out" else view.train_copy("kind", 1)

        with pytest.raises(RunError, match=told):
            fit(unimodal(), Owned(), None, using(Asks, holds_out=""), tmp_path / hook)
    with pytest.raises(RunError, match="a copy cannot be trained on 'size', which is no head"):
        class Wrong(TrainingMethod):
            def begin_epoch(self, view: Any) -> None:
                view.train_copy("size", 1)

        fit(unimodal(), Owned(), None, using(Wrong), tmp_path / "wrong")


def test_too_few_cases_and_an_option_that_is_not_there_are_refused() -> None:
    with pytest.raises(UserError, match=r"holds out 0.99 of the training cases, and 9 are too few"):
        apart(Owned(), using(GBlend, values={"holdout": 0.99}))
    with pytest.raises(ContractError, match="holds_out='share' is no option"):
        Training("probe", GBlendConfig, GBlend, holds_out="share")
