"""The processes and the device of a run, through accelerate: one process, several, or several machines."""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fusionkit.errors import Diagnostic, UserError
from fusionkit.network.model import FusionModel
from fusionkit.training.objective import Objective
from fusionkit.training.settings import TrainingSettings


def world_size() -> int:
    """How many processes were launched together, by torchrun or accelerate launch; 1 without either."""
    return int(os.environ.get("WORLD_SIZE", "1"))


class Processes:
    """One run's view of its processes; every process of a launch creates one with the same settings.

    Raises: UserError with `no-gpu`, `precision-unsupported`, `launcher-unsupported` or `tracker-missing`.
    """

    def __init__(self, settings: TrainingSettings, folder: Path) -> None:
        _check(settings)
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, GradientState
        from accelerate.utils import DistributedDataParallelKwargs

        # accelerate keeps one state per Python process and refuses another precision, but a process may train
        # several times, as in cross-validation. To be removed when accelerate offers a public way.
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        self._unused = DistributedDataParallelKwargs(gradient_as_bucket_view=True)
        with warnings.catch_warnings():
            # It reports how many threads it chose if none were set; `threads` is our setting for that.
            warnings.filterwarnings("ignore", message=".*OMP_NUM_THREADS.*")
            # A tracker that is not installed is an error here, reported below.
            warnings.filterwarnings("ignore", message=".*no supported trackers.*")
            self.accelerator: Any = Accelerator(
                cpu=wants_cpu(settings), mixed_precision={"fp32": "no"}.get(settings.precision, settings.precision),
                kwargs_handlers=[self._unused], log_with=list(settings.trackers) or None, project_dir=folder)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.device: torch.device = self.accelerator.device
        self.count: int = self.accelerator.num_processes
        if self.count > 1:
            atexit.register(_leave)
        self.index: int = self.accelerator.process_index
        self.main = self.index == 0
        self.sharded = self.count > 1 and (
            settings.strategy == "fsdp"
            or (settings.strategy == "auto" and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"))
        missing = set(settings.trackers) - {str(name.value) for name in self.accelerator.log_with}
        if missing:
            raise UserError([Diagnostic("tracker-missing", f"the tracker {name!r} is not installed",
                                        fix=f"install it ('pip install {name.replace('_', '-')}'), or leave it out of "
                                            "'trackers'") for name in sorted(missing)])

    def prepare(self, objective: Objective, unused: bool) -> nn.Module:
        """The objective on its device, wrapped for several processes; `unused` if some weights may get no gradient.

        Raises: UserError with `strategy-unsupported` for weights that cannot be divided among processes.
        """
        if self.sharded:
            _check_divisible(objective.network)
            return _shard(objective.to(self.device))
        self._unused.find_unused_parameters = unused
        # Where it is not told, accelerate asks whether weights are divided, and imports sympy and more to do so.
        place = True if self.count == 1 else None
        wrapped: nn.Module = self.accelerator.prepare_model(objective, device_placement=place)
        return wrapped

    def prepare_optimiser(self, optimiser: Optimizer) -> Any:
        """The optimiser, with loss scaling in fp16."""
        if self.accelerator.scaler is None:
            return optimiser  # accelerate's looks for packages in every step, and changes nothing without a scaler
        return self.accelerator.prepare_optimizer(optimiser, device_placement=False)

    def no_sync(self, module: nn.Module) -> AbstractContextManager[None]:
        """Within, gradients are not averaged over processes."""
        context: AbstractContextManager[None] = self.accelerator.no_sync(module)
        return context

    def sum(self, values: Sequence[float]) -> list[float]:
        """Numbers added up over all processes."""
        return self.sum_tensor(torch.tensor(values, dtype=torch.float64)) if self.count > 1 else list(values)

    def sum_tensor(self, values: Tensor) -> list[float]:
        """The elements of a tensor (n,) added up over all processes; waits for the device."""
        # NCCL sums tensors on the GPU, gloo tensors on the CPU.
        if self.count > 1:
            values = values.to(self.device)
            torch.distributed.all_reduce(values)
        return [float(value) for value in values.tolist()]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in order of rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait until every process is here."""
        self.accelerator.wait_for_everyone()


def wants_cpu(settings: TrainingSettings) -> bool:
    """Whether a run with these settings trains on the CPU on this machine."""
    return settings.device == "cpu" or not torch.cuda.is_available()


def own_randomness(settings: TrainingSettings) -> Any:
    """Within, the random state is the run's; afterwards it is restored."""
    # Asking for the current GPU would initialise the first one in every process of a launch.
    cuda = not wants_cpu(settings) and world_size() == 1
    return torch.random.fork_rng(devices=[torch.cuda.current_device()] if cuda else [])


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _check(settings: TrainingSettings) -> None:
    found = []
    if settings.device == "cuda" and not torch.cuda.is_available():
        found.append(Diagnostic("no-gpu", "'device' is 'cuda' and PyTorch sees no GPU", fix="use '--device cpu', or "
                                "install a PyTorch built for CUDA; `fusionkit doctor` shows what it can use"))
    elif settings.precision == "fp16" and wants_cpu(settings):
        found.append(Diagnostic("precision-unsupported", "'precision: fp16' needs a GPU", fix="use bf16 or fp32"))
    elif settings.precision == "fp16" and settings.strategy == "fsdp":
        found.append(Diagnostic("precision-unsupported", "'precision: fp16' cannot be used with 'strategy: fsdp'",
                                why="its loss scaling does not see all parts of a sharded gradient", fix="use bf16"))
    elif settings.precision == "bf16" and not wants_cpu(settings) and not torch.cuda.is_bf16_supported():
        found.append(Diagnostic("precision-unsupported", "this GPU has no bf16", fix="use 'precision: fp16' or fp32"))
    found.extend(Diagnostic("launcher-unsupported", f"training with {name} is not supported",
                            fix="run `accelerate config` again and choose none, DDP or FSDP")
                 for name in ("DEEPSPEED", "MEGATRON_LM")
                 if os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true")
    if found:
        raise UserError(found)


def _check_divisible(network: FusionModel) -> None:
    """Raises: UserError with `strategy-unsupported` if a weight has no axis, as a temperature often has none."""
    single = [name for name, weight in network.named_parameters() if not weight.dim()]
    if single:
        raise UserError([Diagnostic(
            "strategy-unsupported", f"'strategy: fsdp' cannot divide weights without an axis: {', '.join(single)}",
            why="PyTorch's fully_shard divides the first axis of each weight", fix="use 'strategy: ddp'; a component "
            "of your own may have torch.ones(1) as its weight in place of torch.ones(())")])


def _shard(objective: Objective) -> nn.Module:
    """Every node is a unit of its own, except heads: their losses need their weights after `forward` too."""
    from torch.distributed.fsdp import fully_shard

    heads = {head.name for head in objective.network.plan.heads}
    for node in objective.network.plan.nodes:
        module = objective.network.get_submodule(node.name)
        if node.name not in heads and any(True for _ in module.parameters()):
            fully_shard(module)
    fully_shard(objective)
    return objective


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor gathered in each process; any other tensor unchanged."""
    full = getattr(tensor, "full_tensor", None)
    return full() if full is not None else tensor


def own_part(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor; any other tensor unchanged."""
    local = getattr(tensor, "to_local", None)
    return local() if local is not None else tensor


@torch.no_grad()
def assign(target: Tensor, value: Tensor) -> None:
    """Set a tensor, or this process's part of it, from a gathered one, keeping its device and memory layout."""
    mesh = getattr(target, "device_mesh", None)
    if mesh is None:
        target.copy_(value)
        return
    from torch.distributed.tensor import distribute_tensor

    placed = distribute_tensor(value.to(target.device), mesh, target.placements)  # type: ignore[attr-defined]
    target.copy_(placed)
