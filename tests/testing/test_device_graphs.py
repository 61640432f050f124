"""Every published graph on a GPU that is not there: no tensor on the wrong device, and no wait but those of the table.

Forward and losses of a training step, modality dropout, mixed precision, samples, compare's features and augmentation,
with optional inputs present and absent. The backward of CUDA needs a driver; that of the CPU is the same operations,
and is run on tensors without values.
"""

from __future__ import annotations

import copy
from pathlib import Path

import fusionkit_plugins
import pytest
import torch
from torch import Tensor

import fusionkit
from fusionkit.components.component import Head
from fusionkit.components.transform import Transform
from fusionkit.data.augmentation import Augmentation
from fusionkit.data.batch import Batch
from fusionkit.errors import Span
from fusionkit.inference.sampler import Sampler
from fusionkit.network.model import FusionModel
from fusionkit.registry.lookup import discover
from fusionkit.registry.named import component_named
from fusionkit.shapes.layouts import MaskedTokens
from fusionkit.testing.checks.heads import example_targets
from fusionkit.testing.device.standing import GPU, placed, standing, without_values
from fusionkit.testing.device.watch import Wait, watched
from fusionkit.training.augmented import Augmented
from fusionkit.training.distributed import Processes
from fusionkit.training.modality_dropout import ModalityDropout
from fusionkit.training.objective import Objective, arguments, counts, presence
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.step import Stepper

CASES, CPU = 5, torch.device("cpu")
OURS = [str(Path(fusionkit.__file__).parent), *fusionkit_plugins.__path__,
        *(str(Path(folder).resolve()) for folder in (Path(fusionkit.__file__).parent, *fusionkit_plugins.__path__))]
QUICK = ("daft", "late-fusion", "phantom-image", "slices-mil")
"""Small ones, with optional inputs, batch norms, masked tokens and items; the others are of the full tier."""
LEFT_OUT = {"medfuse": "PyTorch's LSTM asks for a driver, which is not there",
            "mmcaf-net-sam": "timm's SAM makes relative positions on the CPU in every forward: docs/gpu.md"}
GRAPHS = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
          for name in sorted(set(discover().graphs) - LEFT_OUT.keys())]


@pytest.fixture(scope="module", params=GRAPHS)
def network(request: pytest.FixtureRequest) -> FusionModel:
    return fusionkit.build(request.param)


def batch_of(network: FusionModel) -> Batch:
    """Zeros, every input present; within `without_values` nothing has values."""
    inputs = {value.name: torch.zeros(CASES, *value.shape.carried) for value in network.plan.inputs}
    everyone = {name: torch.ones(CASES, dtype=torch.bool) for name in inputs}
    valid = {value.name: torch.ones(inputs[value.name].shape[:2], dtype=torch.bool) for value in network.plan.inputs
             if isinstance(value.shape, MaskedTokens)}
    targets = {}
    for head in network.plan.heads:
        assert isinstance(head.component, Head)
        target = example_targets(head.component, head.config, CASES)[1]
        targets[head.name] = torch.zeros(target.shape, dtype=target.dtype)
    return Batch(inputs, everyone, targets, {name: torch.ones(CASES, dtype=torch.bool) for name in targets},
                 torch.arange(CASES), valid)


def held(found: list[Wait]) -> None:
    assert not found, "; ".join(map(str, found))


def stepped(network: FusionModel, batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """Losses of a step, as the trainer computes them."""
    objective = Objective(network).train()
    placed = batch.to(device, non_blocking=True)
    counts(network, batch)
    results = objective(*arguments(network, placed))
    assert {value.device.type for value in results.values()} == {device.type}
    return results


@pytest.mark.parametrize("answer", [True, False], ids=["present", "absent"])
@pytest.mark.parametrize("precision", [None, torch.bfloat16], ids=["single", "bf16"])
def test_forward_and_losses_of_a_step(network: FusionModel, precision: torch.dtype | None, answer: bool) -> None:
    with without_values(precision):
        held(watched(lambda: stepped(standing(network), batch_of(network), GPU), OURS, answer=answer))


@pytest.mark.filterwarnings("ignore:encoder.kan")  # zeros may lie outside of its grid
def test_backward_of_a_step(network: FusionModel) -> None:
    def backward() -> None:
        results = stepped(standing(network, CPU), batch_of(network), CPU)
        torch.stack([value for value in results.values() if not value.dim()]).sum().backward()

    with without_values():
        # On the CPU masks are asked of themselves, by the module that would ask their copies.
        found = [wait for wait in watched(backward, OURS, "cpu") if "known_masks.py" not in wait.place]
    # Of the first batch on a CPU a layer looks at once at what it looks at on a GPU in the next evaluation.
    held([wait for wait in found if "encoders/kan.py" not in wait.place])


def test_features_that_compare_keeps(network: FusionModel) -> None:
    names = [value.name for node in network.plan.nodes if not node.node.is_head for value in node.features]

    def features() -> None:
        model, batch = standing(network).eval(), batch_of(network).to(GPU, non_blocking=True)
        found = model.results_at(names, batch.inputs, presence(model, batch))
        assert {value.device.type for value in found.values()} == {"cuda"}

    with without_values(), torch.no_grad():
        held(watched(features, OURS))


def emptied(network: FusionModel, device: torch.device) -> None:
    """Puts the weights and buffers of a network on a device, without values; what holds its modules stays valid."""
    for part in network.modules():
        for name, value in part._parameters.items():
            part._parameters[name] = value if value is None else torch.nn.Parameter(
                placed(value, device), value.requires_grad)
        for name, value in part._buffers.items():
            part._buffers[name] = value if value is None else placed(value, device)


def test_samples_of_a_prediction(network: FusionModel) -> None:
    copied = copy.deepcopy(network).eval()
    sampler = Sampler(copied, 2**28)  # it follows the network on the meta device

    def sampled() -> None:
        batch = batch_of(copied).to(GPU, non_blocking=True)
        run = sampler.run(batch.inputs, batch.masks)
        for result in (run.once(), *run.samples(3)):
            assert {value.device.type for value in result.values()} == {"cuda"}

    with without_values(), torch.no_grad():
        emptied(copied, GPU)
        held(watched(sampled, OURS))


def test_modality_dropout_on_the_device() -> None:
    network = fusionkit.build("late-fusion")
    dropout = ModalityDropout(network.plan, TrainingSettings(modality_dropout=0.5))

    def step() -> None:
        stepped(standing(network), dropout(batch_of(network).to(GPU, non_blocking=True), 3), GPU)

    with without_values():
        held(watched(step, OURS))


MADE = sorted(entry.id.partition(".")[2] for entry in discover().entries
              if entry.kind == "transform" and discover().load(entry.id, of=Transform).acts in ("space", "intensity"))


@pytest.mark.parametrize("sizes", [(3, 19, 23), (1, 7, 19, 23)], ids=["image", "volume"])
def test_augmentation_on_the_device(sizes: tuple[int, ...]) -> None:
    group = [component_named(f"transform.{name}", None, discover(), Span("t", 1, 1), Transform) for name in MADE]
    several = [each for each in group if len(sizes) == 3 or each.declared.channels is None]
    made = Augmented(Augmentation({"x": tuple(several)}), ("one", "two", "three"), {}, seed=0)

    def changed() -> None:
        everyone = torch.ones(CASES, dtype=torch.bool)
        batch = Batch({"x": torch.zeros(CASES, *sizes)}, {"x": everyone}, {}, {}, torch.zeros(CASES, dtype=torch.int64))
        assert made(batch.to(GPU, non_blocking=True), 2).inputs["x"].device.type == "cuda"

    with without_values():
        held(watched(changed, OURS))


def test_a_step_reads_its_numbers_once(tmp_path: Path) -> None:
    """The whole step as the trainer takes it, its backward too, on the CPU and without values."""
    network = fusionkit.build("late-fusion")
    settings = TrainingSettings(device="cpu", clip_gradient=1.0)
    stepper = Stepper(network, settings, Processes(settings, tmp_path))
    with without_values():
        emptied(network, CPU)
        stepper.trainable, batch = list(network.parameters()), batch_of(network)
        found = watched(lambda: stepper.gradients([batch], stepper.totals([batch])[0]), OURS, "cpu")
    assert [(wait.operation, Path(wait.place.rpartition(":")[0]).name) for wait in found
            if "known_masks.py" not in wait.place] == [("item", "distributed.py")]
