"""What a plugin author declares: refused where it is not as the contract asks, with the reason."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from fusionkit.api import ComponentError, Config, Encoder, Fusion, Head, Uncertainty, Vector
from fusionkit.components.config import ContractError
from fusionkit.components.kinds import GRAPH_KINDS, KIND_TABLE


class Options(Config):
    width: int = 8


class NotOptions(BaseModel):
    width: int = 8


def module(config: Config, inputs: Any) -> None: ...


@pytest.mark.parametrize(("kind", "declared", "says"), [
    (Encoder, {"name": "MLP"}, "'MLP' is not a component name"),
    (Encoder, {"name": "a.b"}, "'a.b' is not a component name"),
    (Encoder, {"name": "2d"}, "is not a component name"),
    (Encoder, {"config": NotOptions}, "must be a subclass of fusionkit.api.Config"),
    (Encoder, {"config": Options()}, "must be a subclass of fusionkit.api.Config"),
    (Encoder, {"absent": "maybe"}, "absent='maybe'; choose one of drop, neutral, identity, skip, fill, none"),
    (Fusion, {"absent": "fill"}, "only an encoder can replace a missing input"),
    (Encoder, {"rule": ""}, "encoder.it: a port begins with the batch axis 'B'"),
    (Encoder, {"rule": "B _"}, "the rule has no result"),
    (Encoder, {"rule": "B _ -> B 2 | B _ _"}, "the rule has no result"),
    (Encoder, {"output": lambda config, inputs: Vector((3,))}, "the result is given twice"),
    (Encoder, {"rule": "B {depth} -> B 2"}, "the rule names {depth}, which is not an option"),
    (Encoder, {"rule": "B _ -> B {depth}"}, "the rule names {depth}, which is not an option"),
    (Head, {"names": "classes"}, "names='classes' is not an option"),
    (Uncertainty, {}, "an uncertainty method has no rule"),
])
def test_declarations_that_are_refused(kind: type, declared: dict[str, Any], says: str):
    with pytest.raises(ContractError) as caught:
        kind(**{"name": "it", "config": Options, "module": module, "rule": "B _ -> B {width}", **declared})
    assert says in str(caught.value)


def test_ids_are_kind_and_name():
    made = [kind("it.v2", Options, module, rule="B _ -> B 2") for kind in (Encoder, Fusion)]
    made.append(Head("it.v2", Options, module, rule="B _ -> B 2", names="width"))
    made.append(Uncertainty("it.v2", Options, module))
    assert [component.id for component in made] == [f"{kind}.it.v2" for kind in GRAPH_KINDS]
    assert [component.absent for component in made] == ["skip", "none", "skip", "none"]


def test_making_a_component_registers_nothing():
    from fusionkit.registry.lookup import discover

    before = discover().ids
    Encoder("new", Options, module, rule="B _ -> B 2")
    assert discover().ids == before


def test_the_summary_is_the_first_line_of_the_file():
    assert Encoder("it", Options, module, rule="B _ -> B 2").summary == str(__doc__).strip()


def test_options_are_strict_and_never_change():
    with pytest.raises(ValidationError):
        Options(width="8")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(ValidationError):
        Options(depth=8)  # type: ignore[call-arg]  # the point of the test
    with pytest.raises(ValidationError):
        Options().width = 9


def test_a_component_error_carries_its_lines():
    error = ComponentError("no", why="because", fix="do")
    assert (str(error), error.why, error.fix) == ("no", "because", "do")


def test_every_kind_of_the_table_can_be_declared_and_made():
    """A row names a class of `fusionkit.api`, two templates of `plugins new`, and a check where there is no module."""
    from importlib.resources import files

    from fusionkit import api
    from fusionkit.testing.conformance import KIND_CHECKS

    templates = files("fusionkit.testing.scaffold") / "templates"
    for name, kind in KIND_TABLE.items():
        assert getattr(api, kind.declaration).kind == name
        assert all((templates / f"{name}.{suffix}.txt").is_file() for suffix in ("py", "yaml")), name
        assert kind.in_nodes or kind.check in KIND_CHECKS, name
