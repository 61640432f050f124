"""The training settings for modules that must load fast: no pydantic, no torch.

Made from fusionkit/training/settings.py by tools/training_flags.py; a test keeps it fresh.
"""

from __future__ import annotations

from typing import Any

FLAGS: tuple[tuple[str, Any, str], ...] = (
    ("fold", int, "hold out and test this fold only, counted from 0 (default: all, one after the other)"),
    ("epochs", int, "how many times every training case is seen, unless `steps` asks for more"),
    ("steps", int, "minimum number of optimiser steps; epochs are added to reach it, unless --epochs is given"),
    ("batch_size", int, "cases in one batch, over all processes together"),
    ("batches", ("random", "by_length"), "which cases form a batch"),
    ("accumulate", int, "batches whose gradients are added up before the weights change"),
    ("optimiser", str, "the optimiser: adamw, adam, sgd, or the name of another of torch, timm or a plugin"),
    ("learning_rate", float, "the peak learning rate"),
    ("weight_decay", float, "weight decay"),
    ("momentum", float, "momentum of sgd"),
    ("schedule", str,
     "the learning rate after warm-up: constant, cosine, linear, step, or one of torch, timm or a plugin"),
    ("warmup_epochs", float, "epochs in which the learning rate rises from zero"),
    ("step_epochs", int, "epochs between two steps of the schedule step"),
    ("step_factor", float, "factor applied at each step of the schedule step"),
    ("clip_gradient", float, "maximum gradient norm, 0 for no clipping"),
    ("patience", (("auto",), int),
     "epochs without a better validation result after which the run stops, 0 never stops, auto: a quarter of them"),
    ("hold_out", (("auto", "folds",), float),
     "training cases that select the best epoch: a share of them, or folds; auto: folds below 500 cases, else 0.15"),
    ("validate_steps", int, "minimum number of steps between two validations"),
    ("monitor", str, "what selects the best epoch: loss or an installed metric"),
    ("balance", ("none", "classes"), "classes: draw equally often from every class"),
    ("complete_first", int, "first epochs in which cases that have every input come before the others"),
    ("modality_dropout", float, "probability with which an optional input of a case is treated as missing"),
    ("modality_scheme", ("independent", "exactly_one", "subset"), "what modality_dropout is the probability of"),
    ("method", str, "the training method: none or the id of an installed one"),
    ("precision", ("fp32", "bf16", "fp16"), "precision of the forward pass"),
    ("device", ("auto", "cpu", "cuda"), "where to train"),
    ("strategy", ("auto", "ddp", "fsdp"), "how several processes share the work"),
    ("compile", bool, "compile the network with torch.compile"),
    ("channels_last", ("auto", "on", "off"), "keep channels as the innermost axis in memory"),
    ("workers", (("auto",), int),
     "processes that read cases ahead, 0 reads in the main process, auto: as many as help"),
    ("augment_on", ("auto", "workers", "device"), "where training cases are changed at random"),
    ("threads", int, "CPU threads of each process, 0 leaves the choice to PyTorch"),
    ("seed", int, "seed of the initial weights, the order of cases and dropout"),
    ("checkpoint_seconds", float, "seconds between states saved inside an epoch"),
    ("checkpoint_steps", int, "steps between states saved inside an epoch"),
    ("stage", str,
     "run this stage of the graph's, which learns without targets, in place of the training of the heads"),
)
"""Settings as flags of the command line: name, type or choices, help."""
