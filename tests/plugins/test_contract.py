"""Every bundled component holds to the contract: one case for each row of the table and each check."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from rows import ROWS, Row
from torch import Tensor, nn

from fusionkit.contract import ComponentError
from fusionkit.rules import Mismatch, result_shape
from fusionkit.shapes import Shape, TensorShape, is_loss, members, shape_of

# Axes: B batch, M inputs.
PRESENCE = ("drop", "neutral", "identity", "fill")
PRIMES = (17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59)
CHECKS: set[str] = set()


def has_module(row: Row) -> bool:
    return row.component.kind != "uncertainty"


def knows_presence(row: Row) -> bool:
    return row.component.absent in PRESENCE


def has_map(row: Row) -> bool:
    return any(shape.spatial for shape in row.shapes)


@cache
def _first_ones() -> frozenset[str]:
    """For each component the first row, and the first with a map: tracing is too slow to do it on every row."""
    first: dict[tuple[str, bool], str] = {}
    for row in filter(has_module, ROWS):
        first.setdefault((row.id, has_map(row)), str(row))
    return frozenset(first.values())


def traced(row: Row) -> bool:
    return str(row) in _first_ones()


def each_row(check: str, where: Callable[[Row], bool] = has_module) -> pytest.MarkDecorator:
    """Run a test on every row it applies to, but for exceptions that the table declares."""
    CHECKS.add(check)
    chosen = [row for row in ROWS if where(row) and check not in row.exceptions]
    return pytest.mark.parametrize("row", chosen, ids=str)


def make(row: Row, seed: int = 0, shapes: Sequence[TensorShape] | None = None) -> nn.Module:
    """The row's module in evaluation, its weights moved off any special start, such as zeros."""
    torch.manual_seed(seed)
    component = row.component
    module = component.module(component.config.model_validate(row.options), shapes or row.shapes).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


@cache
def _shared(index: int) -> nn.Module:
    return make(ROWS[index])


def module_of(row: Row) -> nn.Module:
    """The row's module, the same for all tests: they copy it before they change it."""
    return _shared(ROWS.index(row))


def data(row: Row, batch: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, *sizes, generator=random, dtype=dtype) for sizes in row.inputs]


def some_absent(row: Row) -> dict[str, Tensor]:
    """Presence of 5 rows: all, none, only the first, all but the first, all but the last. Empty if unknown."""
    if not knows_presence(row):
        return {}
    count = len(row.inputs)
    first = torch.arange(count) == 0
    last = torch.arange(count) == count - 1
    every = torch.ones(count, dtype=torch.bool)
    return {"present": torch.stack([every, ~every, first, ~first, ~last])}


def results(output: Any) -> tuple[Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)


def run(module: nn.Module, inputs: Sequence[Tensor], **keywords: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return results(module(*inputs, **keywords))


def assert_same(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    """Bit for bit."""
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def mixed(outputs: Sequence[Tensor]) -> Tensor:
    """One number that depends on every entry of the results, each in its own way."""
    random = torch.Generator().manual_seed(2)
    return sum((out * torch.randn(out.shape, generator=random)).sum() for out in outputs)


def promised(row: Row, shapes: Sequence[TensorShape]) -> Shape | Mismatch | None:
    """What the rule, or the output function, says of these inputs; None where it leaves it to a run."""
    component, config = row.component, row.component.config.model_validate(row.options)
    named = [(f"input_{place}", shape) for place, shape in enumerate(shapes)]
    bound = component.parsed.bind(named, dict(config))
    if isinstance(bound, Mismatch):
        return bound
    return component.output(config, shapes) if component.output else result_shape(bound, dict(config))


def on_meta(row: Row, shapes: Sequence[TensorShape]) -> nn.Module:
    with torch.device("meta"):
        return row.component.module(row.component.config.model_validate(row.options), shapes).eval()


def other_sizes(row: Row) -> list[TensorShape] | None:
    """The inputs with every size exchanged for another prime, equal for equal; None if that is refused."""
    sizes = sorted({size for shape in row.inputs for size in shape})
    exchange = dict(zip(sizes, PRIMES, strict=False))
    shapes = [shape_of(tuple(exchange[size] for size in sizes)) for sizes in row.inputs]
    try:
        on_meta(row, shapes)
        return None if isinstance(promised(row, shapes), Mismatch) else shapes
    except ComponentError:
        return None


@each_row("rule")
def test_the_rule_agrees_with_the_module(row: Row) -> None:
    for shapes in filter(None, (row.shapes, other_sizes(row))):
        shape = promised(row, shapes)
        assert not isinstance(shape, Mismatch), shape
        module = on_meta(row, shapes)
        present = torch.empty(67, len(shapes), dtype=torch.bool, device="meta")
        for batch, keywords in ((61, {}), (67, {"present": present} if knows_presence(row) else {})):
            inputs = [torch.empty(batch, *one.sizes, device="meta") for one in shapes]
            found = [tuple(out.shape) for out in run(module, inputs, **keywords)]
            if shape is None:
                assert all(sizes[:1] in ((), (batch,)) for sizes in found)
            else:
                assert found == [() if is_loss(name) else (batch, *part.sizes) for name, part in members(shape)]


@each_row("ports")
def test_ports_are_the_parameters_of_forward(row: Row) -> None:
    parameters = list(inspect.signature(module_of(row).forward).parameters.values())
    keywords = [parameter for parameter in parameters if parameter.name == "present"]
    assert [parameter.default for parameter in keywords] == ([None] if knows_presence(row) else [])
    names = [f"*{p.name}" if p.kind is p.VAR_POSITIONAL else p.name for p in parameters if p not in keywords]
    ports = [f"{'*' if port.variadic else ''}{port.name}" for port in row.component.parsed.ports]
    assert len(names) == 1 if ports == ["None"] else names == ports


@each_row("options", where=lambda row: True)
def test_options_are_described_and_unknown_ones_refused(row: Row) -> None:
    config = row.component.config
    assert [name for name, field in config.model_fields.items() if not (field.description or "").strip()] == []
    with pytest.raises(ValidationError, match="extra_forbidden"):
        config.model_validate({**row.options, "no_such_option": 1})
    assert 0 < len(row.component.summary) <= 110


@each_row("gradients")
def test_every_parameter_gets_a_gradient(row: Row) -> None:
    module = copy.deepcopy(module_of(row))
    inputs = [x.requires_grad_() for x in data(row, 5)]
    mixed(results(module(*inputs, **some_absent(row)))).backward()
    trainable = {name: p for name, p in module.named_parameters() if p.requires_grad}
    assert [name for name, p in trainable.items() if p.grad is None or not p.grad.abs().max() > 0] == []


@each_row("rows")
def test_a_batch_equals_its_items(row: Row) -> None:
    module = copy.deepcopy(module_of(row)).double()
    inputs, keywords = data(row, 5, dtype=torch.float64), some_absent(row)
    whole = [out for out in run(module, inputs, **keywords) if out.dim()]
    for item in range(5):
        one = slice(item, item + 1)
        alone = run(module, [x[one] for x in inputs], **{name: mask[one] for name, mask in keywords.items()})
        for found, wanted in zip([out for out in alone if out.dim()], whole, strict=True):
            torch.testing.assert_close(found, wanted[one], rtol=1e-9, atol=1e-10)


@each_row("deterministic")
def test_evaluation_draws_nothing_and_keeps_nothing(row: Row) -> None:
    module = copy.deepcopy(module_of(row))
    state, random = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    first = run(module, data(row, 3))
    run(module, data(row, 3, seed=9))
    assert_same(run(module, data(row, 3)), first)
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


@each_row("dtype")
def test_the_dtype_follows(row: Row) -> None:
    module = copy.deepcopy(module_of(row)).double()
    outputs = run(module, data(row, 3, dtype=torch.float64), **{k: v[:3] for k, v in some_absent(row).items()})
    assert {out.dtype for out in outputs} == {torch.float64}
    torch.testing.assert_close([out.float() for out in run(module, [x.double() for x in data(row, 3)])],
                               list(run(module_of(row), data(row, 3))), rtol=1e-3, atol=1e-4)


@each_row("state")
def test_the_state_is_complete(row: Row) -> None:
    module, other = module_of(row), make(row, seed=5)
    loose = [name for part in module.modules() for name, value in vars(part).items()
             if not name.startswith("_") and any(isinstance(x, Tensor) for x in torch.utils._pytree.tree_leaves(value))]
    assert loose == [], "tensors that are neither parameters nor buffers are not saved, moved or trained"
    other.load_state_dict(module.state_dict(), strict=True)
    assert_same(run(other, data(row, 3)), run(module, data(row, 3)))


@each_row("copies")
def test_copies_and_pickles_are_equal(row: Row) -> None:
    module, inputs = module_of(row), data(row, 3)
    wanted = run(module, inputs)
    assert_same(run(copy.deepcopy(module), inputs), wanted)
    assert_same(run(pickle.loads(pickle.dumps(module)), inputs), wanted)


@each_row("channels-last", where=lambda row: has_module(row) and has_map(row))
def test_channels_last_changes_nothing(row: Row) -> None:
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    inputs = [x.to(memory_format=formats[x.dim()]) if x.dim() in formats else x for x in data(row, 3)]
    torch.testing.assert_close(run(module_of(row), inputs), run(module_of(row), data(row, 3)))


@each_row("autocast")
def test_half_precision_runs(row: Row) -> None:
    module = copy.deepcopy(module_of(row))
    inputs = [x.requires_grad_() for x in data(row, 5)]
    with torch.autocast("cpu", torch.bfloat16):
        outputs = results(module(*inputs, **some_absent(row)))
    mixed([out.float() for out in outputs]).backward()
    assert all(out.isfinite().all() for out in outputs)
    assert all(x.grad is None or x.grad.isfinite().all() for x in [*module.parameters(), *inputs])


@each_row("full-mask", where=knows_presence)
def test_a_full_mask_equals_no_mask(row: Row) -> None:
    present = torch.ones(5, len(row.inputs), dtype=torch.bool)
    assert_same(run(module_of(row), data(row, 5), present=present), run(module_of(row), data(row, 5)))


@each_row("nothing-present", where=knows_presence)
def test_rows_with_nothing_present_are_finite(row: Row) -> None:
    module = copy.deepcopy(module_of(row))
    inputs = [torch.full_like(x, float("nan")).requires_grad_() for x in data(row, 3)]
    outputs = results(module(*inputs, present=torch.zeros(3, len(inputs), dtype=torch.bool)))
    wanted = [out.isfinite() if row.component.absent == "fill" else out == 0 for out in outputs]
    assert all(out.all() for out in wanted)
    if any(out.requires_grad for out in outputs):
        # NaN that a later `where` hides would still stop everyone who looks for NaN of their own.
        with torch.autograd.set_detect_anomaly(True):
            mixed(outputs).backward()
    gradients = [x.grad for x in [*module.parameters(), *inputs] if x.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def _trial(row: Row, content: float, training: bool) -> list[Tensor]:
    """Results and all gradients when absent entries hold this number."""
    module = copy.deepcopy(module_of(row)).train(training)
    keywords = some_absent(row)
    masks = keywords["present"].unbind(1)
    inputs = [torch.where(mask.reshape(-1, *[1] * (x.dim() - 1)), x, torch.full_like(x, content)).requires_grad_()
              for x, mask in zip(data(row, 5), masks, strict=True)]
    torch.manual_seed(3)
    outputs = results(module(*inputs, **keywords))
    mixed(outputs).backward()
    assert all(x.grad is None or not x.grad[~mask].any() for x, mask in zip(inputs, masks, strict=True))
    gradients = [x.grad if x.grad is not None else torch.zeros_like(x) for x in [*module.parameters(), *inputs]]
    return [*[out.detach() for out in outputs], *gradients]


@each_row("absent-content", where=knows_presence)
def test_what_an_absent_entry_holds_changes_nothing(row: Row) -> None:
    for training in (False, True):
        wanted = _trial(row, 0.0, training)
        for content in (float("nan"), float("inf")):
            assert_same(_trial(row, content, training), wanted)


@each_row("compile", where=traced)
def test_compiles_as_one_graph(row: Row) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(module_of(row), fullgraph=True, backend="eager", dynamic=False)
    torch.testing.assert_close(run(compiled, data(row, 5), **some_absent(row)),
                               run(module_of(row), data(row, 5), **some_absent(row)))


@each_row("export", where=traced)
def test_exports_with_any_batch_size(row: Row) -> None:
    module, batch = module_of(row), {0: torch.export.Dim("batch", min=2)}
    parameters = inspect.signature(module.forward).parameters.values()
    fixed = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL and p.name != "present"]
    dynamic: dict[str, Any] = dict.fromkeys(fixed, batch)
    dynamic.update({p.name: (batch,) * (len(row.inputs) - len(fixed)) for p in parameters
                    if p.kind is p.VAR_POSITIONAL})
    keywords = some_absent(row)
    dynamic.update(dict.fromkeys(keywords, batch))
    program = torch.export.export(module, tuple(data(row, 5)), keywords, dynamic_shapes=dynamic, strict=False)
    other = {name: torch.cat([mask, mask.flip(0)]) for name, mask in keywords.items()}
    count = 10 if keywords else 7
    torch.testing.assert_close(run(program.module(), data(row, count), **other), run(module, data(row, count), **other))


def test_the_table_is_sound() -> None:
    assert len({str(row) for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert set(row.exceptions) <= CHECKS, f"{row} excepts a check that does not exist"
        assert all(reason for reason in row.exceptions.values()), f"{row} gives no reason"
