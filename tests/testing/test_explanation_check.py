"""The check `explanation` of the conformance kit: explanations with one fault each, and the message that names it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field

from fusionkit.api import Config, Explanation
from fusionkit.explaining import Diagnostic, NetworkView, RunView
from fusionkit.testing.conformance import check_component, checks_of

Explain = Callable[[RunView], Any]


def found(explain: Explain, *, writes: tuple[Any, ...] = ("tables",), config: type[Config] = Config, **more: Any
          ) -> tuple[str, str]:
    """Result and text of the check of an explanation that does this."""
    made = type("Made", (), {"__init__": lambda self, config: None, "__doc__": "Made.",
                             "explain": lambda self, run: explain(run),
                             **{name: more.pop(name) for name in ("faults",) if name in more}})
    finding, = check_component(Explanation("made", config, made, label="made", writes=writes, **more), ["explanation"])
    return finding.result, finding.seen


def sound(run: RunView) -> list[str]:
    run.folder.table(["id", "draw"], [[name, f"{run.generator.random():.6g}"] for name in run.cases.ids], "told")
    return list(run.cases.ids)


def also(more: Callable[[RunView], Any]) -> Explain:
    """What is sound, and something else."""
    def explain(run: RunView) -> list[str]:
        more(run)
        return sound(run)

    return explain


def training(run: RunView) -> None:
    run.network.model.train()


def moved(run: RunView) -> None:
    with torch.no_grad():
        next(run.network.model.parameters()).add_(1)


def backward(run: RunView) -> None:
    batch = run.parts[0].batch(run.parts[0].own(run.chosen)[0])
    run.network.scores("result")(*batch.inputs.values(), batch.present).sum().backward()


def hooked(run: RunView) -> None:
    run.network.model.register_forward_hook(lambda *_: None)


def beside(run: RunView) -> None:
    (run.folder.path / "mine.txt").write_text("x")


def around(run: RunView) -> None:
    Path("mine.txt").write_text("x")


def by_chance(run: RunView) -> None:
    run.note(str(torch.rand(1, generator=torch.Generator().manual_seed(random.SystemRandom().getrandbits(32)))))


def needing_an_image(run: RunView) -> None:
    assert run.network.survey.maps()[0], "no map"


def test_one_that_holds() -> None:
    assert found(sound)[0] == "ok"
    declared = Explanation("it", Config, object, label="it", writes=("tables",))
    assert checks_of(declared) == ("declaration", "options", "explanation")


@pytest.mark.parametrize(("explain", "says"), [
    (also(training), "it changes the mode of a module"),
    (also(moved), "it changes weights or buffers"),
    (also(backward), "it changes the gradients of weights"),
    (also(hooked), "it changes the hooks of a module"),
    (also(lambda run: torch.rand(1)), "it changes the random state of torch"),
    (also(lambda run: torch.set_grad_enabled(False)), "it changes whether gradients are computed"),
    (also(beside), "it writes 'mine.txt' beside run.folder"),
    (also(around), "mine.txt' beside run.folder"),
    (also(by_chance), "it gives something else a second time"),
    (also(needing_an_image), "on a network of one table it ends in AssertionError: no map"),
    (lambda run: sound(run) and {"it": object()}, "what it returns is no JSON"),
    (lambda run: [], "writes no tables"),
    (lambda run: run.network.nothing, "AttributeError"),
])
def test_each_fault_is_named(explain: Explain, says: str) -> None:
    before = torch.is_grad_enabled()
    try:
        result, seen = found(explain)
    finally:
        torch.set_grad_enabled(before)
    assert result == "failed" and says in seen, seen


def test_what_is_written_is_what_is_declared() -> None:
    assert "writes no pictures" in found(sound, writes=("pictures", "tables"))[1]


def test_what_is_required_is_seen_to_by_others() -> None:
    assert found(also(needing_an_image), requires=("maps",))[0] == "ok"

    def where_there_is_one(run: RunView) -> list[str]:
        return sound(run) if run.network.survey.maps()[0] else []

    assert "writes nothing and does not say why" in found(where_there_is_one)[1]


class Placed(Config):
    """One option."""

    place: str = Field("fused", description="A node.")


def test_options_that_do_not_fit_may_be_refused_but_not_the_defaults() -> None:
    def faults(self: object, network: NetworkView) -> list[Diagnostic]:
        return [Diagnostic("unknown-node", "there is no such node")]

    assert "it refuses its default options" in found(sound, config=Placed, faults=faults)[1]
