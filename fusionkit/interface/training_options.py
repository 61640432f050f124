"""The settings of training as keyword arguments; None means the graph's own.

Made from fusionkit/training/settings.py by tools/training_flags.py; a test keeps it fresh.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class TrainingOptions(TypedDict, total=False):
    """Options that every training takes."""

    epochs: int | None
    steps: int | None
    batch_size: int | None
    batches: Literal["random", "by_length"] | None
    accumulate: int | None
    optimiser: str | None
    learning_rate: float | None
    weight_decay: float | None
    momentum: float | None
    schedule: str | None
    warmup_epochs: float | None
    step_epochs: int | None
    step_factor: float | None
    clip_gradient: float | None
    patience: Literal["auto"] | int | None
    hold_out: Literal["auto", "folds"] | float | None
    validate_steps: int | None
    monitor: str | None
    balance: Literal["none", "classes"] | None
    complete_first: int | None
    modality_dropout: float | None
    modality_scheme: Literal["independent", "exactly_one", "subset"] | None
    method: str | None
    precision: Literal["fp32", "bf16", "fp16"] | None
    device: Literal["auto", "cpu", "cuda"] | None
    strategy: Literal["auto", "ddp", "fsdp"] | None
    compile: bool | None
    channels_last: Literal["auto", "on", "off"] | None
    workers: Literal["auto"] | int | None
    augment_on: Literal["auto", "workers", "device"] | None
    threads: int | None
    seed: int | None
    checkpoint_seconds: float | None
    checkpoint_steps: int | None
    trackers: list[Literal[
        "aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb"]] | None


class RunOptions(TrainingOptions, total=False):
    """Options for training one run."""

    fold: int | None
    stage: str | None
