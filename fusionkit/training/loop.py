"""Training: epochs of steps, validation, the best weights, and a state to resume from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sized
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NoReturn, cast

import torch
from torch.utils.data import Dataset

from fusionkit.data.batch import Batch, Case, collate
from fusionkit.errors import RunError
from fusionkit.network.folder import WEIGHTS
from fusionkit.network.model import FusionModel
from fusionkit.training import nan_diagnosis
from fusionkit.training.batch_changes import batch_changes, fixed
from fusionkit.training.batch_order import (
    Feed,
    StepBatches,
    make_loader,
    read_batches,
    seed_of,
)
from fusionkit.training.case_reading import CaseReader
from fusionkit.training.checkpoint import (
    BEST,
    LAST,
    TrainingState,
    check_step,
    digest,
    frozen_of,
    has_state,
    method_of,
    put_back,
    read_state,
    save_state,
    tensors_of,
)
from fusionkit.training.class_balance import training_batches
from fusionkit.training.distributed import Processes, own_randomness
from fusionkit.training.fitting import Fitting
from fusionkit.training.held_apart import apart
from fusionkit.training.informative import informative
from fusionkit.training.item_draws import of_all_items
from fusionkit.training.method_cases import offer_cases
from fusionkit.training.optimiser import learning_rate
from fusionkit.training.reading_ahead import changes_on_device, reading_ahead
from fusionkit.training.result import (
    FitResult,
    StepProgress,
    check_resumable,
    epoch_row,
    loaded,
    publish,
    write_history,
)
from fusionkit.training.run_checks import check_run
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.settling import settle
from fusionkit.training.signals import Interrupted, Interruption
from fusionkit.training.step import Stepper, Totals, combined
from fusionkit.training.unfreezing import Unfreezing
from fusionkit.training.validation import Scores, validate

EPOCH_SECONDS = 10.0
"""The end of an epoch is saved only if this many seconds have passed since the last state."""


def fit(
    model: FusionModel,
    train_dataset: Dataset[Case],
    validation_dataset: Dataset[Case] | None,
    settings: TrainingSettings,
    folder: Path,
    *,
    resume: bool = False,
    progress: StepProgress | None = None,
) -> FitResult:
    """Train a network; afterwards it has its best weights, or the last without a validation set, in evaluation mode.

    It keeps `model.safetensors` (the best weights so far), `history.csv`, and `last/` and `best/`, the states to
    resume from, in `folder`, which must be the same for every process of a launch; they are written at intervals. With
    `resume` it continues from `last/` if that exists; on the CPU the result is bit-identical to that of an
    uninterrupted run. Every process of a launch calls it with the same arguments.

    Raises: UserError if settings, data and network do not fit together, or `folder` contains a run that is not to be
    resumed; Interrupted, after saving, on Ctrl-C or SIGTERM; RunError if the loss turns NaN, with the node where it
    began, or if memory runs out.
    """
    check_run(train_dataset, validation_dataset, settings, folder=folder, resume=resume, model=model)
    with Interruption() as interruption:
        training = None
        try:
            with own_randomness(settings):
                training = TrainingRun(model, train_dataset, validation_dataset, settings, folder,
                                       interruption=interruption)
                if resume and has_state(folder / LAST):
                    training.restore()
                return training.run(progress)
        except KeyboardInterrupt:
            raise Interrupted(f"stopped immediately; the state saved last is in {str(folder / LAST)!r}: run the same "
                              "command with --resume to continue") from None
        except torch.OutOfMemoryError as error:
            half = max(settings.batch_size // 2, 1)
            raise RunError(f"the GPU has too little memory: {str(error).splitlines()[0]}\n  try: '--batch-size {half} "
                           f"--accumulate {settings.accumulate * 2}', which gives the same steps, or '--precision "
                           "bf16'") from None
        finally:
            if training is not None:
                training.close()


class TrainingRun:
    """One run in one process; `feed` provides its training batches if it does not read them itself.

    The best weights are written whenever they improve or, with `write_late`, once at the end.
    """

    def __init__(self, network: FusionModel, train: Dataset[Case], validation: Dataset[Case] | None,
                 settings: TrainingSettings, folder: Path, *, interruption: Interruption, feed: Feed | None = None
                 ) -> None:
        self.network = network.train()
        self.settings = settings
        self.folder = folder
        self.interruption = interruption
        self.ids = getattr(train, "ids", None)
        self.processes = Processes(settings, folder)
        train, held = apart(train, settings)
        self.cases = len(cast(Sized, train))
        self.changed = batch_changes(network.plan, settings, train)
        self.state = TrainingState(fixed(settings, train), self.cases, frozen=digest(frozen_of(network)))
        self.batches = training_batches(network, train, settings, (self.processes.index, self.processes.count))
        sample = collate([train[0]]) if self.processes.count > 1 else None
        self.stepper = Stepper(network, settings, self.processes, sample, patients=getattr(train, "patients", ()))
        self.learned = CaseReader(train, settings, self.processes)
        offer_cases(self.stepper, self.learned, held)
        self.fit = Fitting(self.stepper, self.learned)
        self.unfreezing = Unfreezing(self.stepper)
        ahead = None if feed is not None or changes_on_device(settings) else self.changed
        self.workers = reading_ahead(settings, train).workers
        self.loader = make_loader(of_all_items(train, settings.seed), self.batches, self.workers,
                                  self.processes.device.type == "cuda", ahead)
        self.ahead = ahead is not None
        self.feed, self.write_late = feed or self._own, feed is not None
        self.held: dict[str, torch.Tensor] | None = None
        self.best: TrainingState | None = None
        validation = informative(network, validation)
        self.validation = None if validation is None else CaseReader(validation, settings, self.processes)
        self.steps = -(-len(self.batches.sizes) // settings.accumulate)
        self.clock = time.perf_counter()
        self.saved = time.perf_counter()
        config = {**self.state.settings, "trackers": ", ".join(settings.trackers)}
        self.processes.accelerator.init_trackers("fusionkit", config)

    def restore(self) -> None:
        """Continue from the last state; every process reads it."""
        state, tensors = read_state(self.folder / LAST)
        check_resumable(state, self.state, self.folder)
        check_step(state, self.steps, self.folder / LAST)
        self.unfreezing.enter(state.epoch + (state.step > 0))
        put_back(self.network, self.stepper.optimiser, tensors)
        if self.processes.accelerator.scaler is not None and state.scaler:
            self.processes.accelerator.scaler.load_state_dict(state.scaler)
        self.stepper.method.restore(state.method, method_of(tensors))
        early = state.stopped == "early" and 0 < self.settings.patience_epochs(self.steps) <= state.stale
        state.settings, state.stopped = self.state.settings, state.stopped if early else ""
        self.state = state
        if state.best_epoch and state.epoch < self.settings.epochs and not state.stopped:
            # A run with `write_late` may have been killed before it wrote them.
            self.held = read_state(self.folder / BEST)[1] if has_state(self.folder / BEST) else tensors
        self.processes.wait()

    def run(self, progress: StepProgress | None) -> FitResult:
        """Run all remaining epochs."""
        for _ in self.rounds(progress):
            pass
        return self._result(settled=True)

    def rounds(self, progress: StepProgress | None) -> Iterator[None]:
        """Run all remaining epochs, yielding after each step and each epoch; the time in between is not counted."""
        while self.state.epoch < self.settings.epochs and not self.state.stopped:
            self.clock = time.perf_counter()
            if self.state.epoch == self.state.step == 0:
                self.fit(0)
            for _ in self._epoch(progress if self.processes.main else None):
                self._tick()
                yield
                self.clock = time.perf_counter()
            self._tick()
            training_seconds = self.state.seconds
            self.fit(self.state.epoch + 1)
            scores = self._validate()
            self._tick()
            self._end_epoch(scores, training_seconds)
            yield

    def _epoch(self, progress: StepProgress | None) -> Iterator[None]:
        for step in self._steps():
            totals, flags = self.stepper.totals(step.batches, [self.interruption.signal is not None, self._due()])
            if flags[0]:
                self.interrupt()
            if flags[1]:
                self._save()
            if step.number == 0:
                self.unfreezing.enter(self.state.epoch + 1)
                self.fit.begin(self.state.epoch)
            self._seed(step)
            if step.number == 0:
                self.stepper.method.begin_epoch(self.state.epoch)
            outcome = self.stepper.gradients(step.batches, totals, self.state.epoch, step.number)
            if not outcome.finite:
                self._explain(step)
            self.stepper.change(self._rate(step.number))
            self._add(outcome.sums, totals)
            self.state.add(outcome.logged)
            self.state.step = step.number + 1
            if progress:
                progress(self.state.epoch + 1, self.state.step, self.steps, outcome.loss)
            yield
        if self.processes.count == 1 and self.interruption.signal is not None:
            self.interrupt()

    def _steps(self) -> Iterator[StepBatches]:
        """The remaining steps of the epoch."""
        size = self.settings.accumulate
        if self.state.step == self.steps:
            return
        reader, number = self.feed(self.state.epoch, self.state.step * size), self.state.step
        while batches := list(islice(reader, size)):
            yield StepBatches([batch if self.ahead else self._changed(batch) for batch in batches], number)
            number += 1

    def _changed(self, batch: Batch) -> Batch:
        """A batch that was not changed where it was read."""
        on_device = changes_on_device(self.settings)
        return self.changed(batch.to(self.processes.device) if on_device else batch, self.state.epoch)

    def _own(self, epoch: int, start: int) -> Iterator[Batch]:
        self.batches.epoch, self.batches.start = epoch, start
        return read_batches(self.loader, self.processes.device)

    def _seed(self, step: StepBatches) -> None:
        """Seed every step on its own, so that a resumed run needs no random state of the interrupted one."""
        seed = seed_of(self.settings.seed, self.state.epoch, step.number, self.processes.index)
        if self.processes.device.type == "cpu":
            # torch.manual_seed would record the seed and a stack trace for a GPU that may never be used.
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def _rate(self, step: int) -> float:
        return learning_rate(self.settings, self.state.epoch * self.steps + step, self.steps)

    def _add(self, sums: dict[str, float], totals: Totals) -> None:
        """Add a step to the sums of its epoch; the prefix `#` marks the numbers of rows and cases."""
        added = {**sums, **{f"#{name}": float(rows) for name, rows in totals.rows.items()}, "#": float(totals.cases)}
        self.state.add(added)

    def _due(self) -> bool:
        """Whether it is time to save inside an epoch; the main process decides for all."""
        steps, seconds = self.settings.checkpoint_steps, self.settings.checkpoint_seconds
        by_step = steps > 0 and self.state.step > 0 and self.state.step % steps == 0
        by_time = seconds > 0 and time.perf_counter() - self.saved > seconds
        return self.processes.main and (by_step or by_time)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.state.seconds += now - self.clock
        self.clock = now

    def _save(self, ended: bool = False) -> dict[str, torch.Tensor]:
        """Save the run: the best weights first and the state last, so that a run killed in between repeats the lost
        part. Every process takes part, the main one writes.
        """
        self._tick()
        tensors = self._tensors()
        if self.processes.main:
            if self.state.history:
                write_history(self.folder, self.state.history)
            if self.best is not None and self.held is not None:
                save_state(self.folder / BEST, self.best, self.held)
        self.best = None
        if ended or not self.write_late:
            self._publish()
        if self.processes.main:
            save_state(self.folder / LAST, self.state, tensors)
        self.saved = time.perf_counter()
        return tensors

    def _tensors(self) -> dict[str, torch.Tensor]:
        """The tensors of a state, whose numbers it brings up to date."""
        scaler = self.processes.accelerator.scaler
        self.state.scaler = scaler.state_dict() if scaler is not None else {}
        self.state.method = self.stepper.method.numbers()
        return tensors_of(self.network, self.stepper.optimiser, self.stepper.method.tensors())

    def _publish(self) -> None:
        """Write the best weights if that is still to be done; every process takes part, the main one writes."""
        if self.held is not None:
            frozen = frozen_of(self.network)
            if self.processes.main:
                publish(self.held, frozen, self.folder / WEIGHTS)
            self.held = None

    def _validate(self) -> Scores | None:
        if self.validation is None or not self.settings.validates(self.state.epoch + 1, self.steps):
            return None
        alone = self.processes.count == 1
        scores = validate(self.stepper, self.validation(),
                          lambda: alone and self.interruption.signal is not None)
        if scores is None:
            self.interrupt()
        elif not abs(scores.loss) < float("inf"):
            self.network.eval()
            found = nan_diagnosis.find(self.stepper, self.validation())
            self._fail(found, [], f"the validation of epoch {self.state.epoch + 1}", None)
        return scores

    def _end_epoch(self, scores: Scores | None, training_seconds: float) -> None:
        """Finish an epoch."""
        state = self.state
        self.stepper.method.end_epoch(state.epoch)
        state.add(self.stepper.method.logged())
        totals = Totals({name: int(state.sums[f"#{name}"]) for name in self.stepper.weights}, int(state.sums["#"]))
        loss = combined(state.sums, self.stepper.weights, self.stepper.auxiliary, totals)
        state.history.append(epoch_row(state, loss, totals, rate=self._rate(self.steps - 1), scores=scores,
                                       training_seconds=training_seconds))
        state.epoch, state.step, state.sums, state.seconds = state.epoch + 1, 0, {}, 0.0
        value = scores.monitored(self.settings.monitor) if scores else float(state.epoch)
        judged = scores is not None or self.validation is None
        better = judged and (state.best_value is None or value > state.best_value)
        # Patience begins when every node learns.
        state.stale = 0 if better or state.epoch < self.unfreezing.last else state.stale + 1
        if better:
            state.best_epoch, state.best_value = state.epoch, value
        if judged and 0 < self.settings.patience_epochs(self.steps) <= state.stale:
            state.stopped = "early"
        if better:
            self.held = self._tensors()
            self.best = replace(state, history=list(state.history)) if scores else None
        row = state.history[-1]
        self.processes.accelerator.log({key: row[key] for key in row if key != "epoch"}, step=state.epoch)
        ended = state.epoch == self.settings.epochs or bool(state.stopped)
        if ended or self._epoch_due():
            self._save(ended)
            state.seconds = 0.0

    def _epoch_due(self) -> bool:
        """Whether to save at the end of an epoch: saving a short epoch would take longer than training it.

        Several processes save after every epoch, since their clocks differ and all must take part.
        """
        return (self.processes.count > 1 or self.settings.checkpoint_seconds == 0
                or time.perf_counter() - self.saved > EPOCH_SECONDS or not has_state(self.folder / LAST))

    def interrupt(self) -> NoReturn:
        """Leave a run that can be used and resumed."""
        tensors = self._save()
        self.held = self.held if self.state.best_epoch else tensors
        self._publish()
        place = f"epoch {self.state.epoch + 1} of {self.settings.epochs}, step {self.state.step} of {self.steps}"
        best = (f"the weights of epoch {self.state.best_epoch}, the best so far," if self.state.best_epoch else
                "the weights as they are now")
        self._result()
        raise Interrupted(f"stopped by {self.interruption.name} in {place}; the state is in "
                          f"{str(self.folder / LAST)!r}: run the same command with --resume to continue\n"
                          f"  {best} are in "
                          f"{str(self.folder / WEIGHTS)!r}")

    def _explain(self, step: StepBatches) -> NoReturn:
        """Stop at a loss or a gradient that is not finite; the step is run again from its seed to find the cause."""
        nodes = self.stepper.not_finite()
        self._seed(step)
        self._fail(nan_diagnosis.find(self.stepper, step.batches), nodes,
                   f"epoch {self.state.epoch + 1}, step {step.number + 1} of {self.steps}", self._rate(step.number))

    def _fail(self, finding: nan_diagnosis.NonFinite | None, nodes: list[str], where: str, rate: float | None
              ) -> NoReturn:
        last = self.folder / LAST
        kept = f"the last good state is in {str(last)!r}" if has_state(last) else "no state had been saved yet"
        raise RunError(nan_diagnosis.explain(finding, nodes, where=where, rate=rate, ids=self.ids,
                                         precision=self.settings.precision, kept=kept))

    def _result(self, settled: bool = False) -> FitResult:
        self._publish()
        self.processes.wait()
        network = loaded(self.network, self.folder, bool(self.state.best_epoch), self.processes.sharded).eval()
        monitor = self.settings.monitor if self.validation is not None else None
        settles = settled and self.state.best_epoch
        heads = settle(network, self.learned, self.processes, self.folder / WEIGHTS) if settles else ()
        return FitResult(network, self.state, monitor, self.processes.main, self.settings.lower_is_better, heads)

    def close(self) -> None:
        """Close the trackers."""
        for tracker in self.processes.accelerator.trackers:
            tracker.finish()
