"""The settings of training for those who must start fast: no pydantic, no torch.

Made from fusionkit/training/settings.py by tools/training_flags.py; a test keeps it fresh.
"""

from __future__ import annotations

from typing import Any

FLAGS: tuple[tuple[str, Any, str], ...] = (
    ("fold", int, "hold out and test this fold only, counted from 0 (default: all, one after the other)"),
    ("epochs", int, "how many times every training case is seen"),
    ("batch_size", int, "cases in one batch, over all processes together"),
    ("accumulate", int, "batches whose gradients are added up before the weights change"),
    ("optimiser", ("adamw", "adam", "sgd"), "the rule that changes the weights"),
    ("learning_rate", float, "the highest learning rate of the run"),
    ("weight_decay", float, "pull of the weights towards zero"),
    ("momentum", float, "momentum of sgd"),
    ("schedule", ("constant", "cosine", "linear", "step"), "the learning rate after warm-up"),
    ("warmup_epochs", float, "epochs in which the learning rate rises from zero"),
    ("step_epochs", int, "epochs between two steps of the schedule step"),
    ("step_factor", float, "what a step of the schedule step multiplies by"),
    ("clip_gradient", float, "longest gradient allowed, 0 leaves it alone"),
    ("patience", int, "epochs without a better validation result after which the run stops, 0 never stops"),
    ("monitor", ("loss", "accuracy", "balanced_accuracy"), "the validation result that chooses the best epoch"),
    ("balance", ("none", "classes"), "classes: draw equally often from every class"),
    ("modality_dropout", float, "chance with which an optional input of a case is treated as absent"),
    ("modality_scheme", ("independent", "exactly_one", "subset"), "what modality_dropout is the chance of"),
    ("modulation", ("none", "ogm", "ogm_ge"), "hold back the modality that is learned faster than the others"),
    ("modulation_alpha", float, "how much modulation holds back"),
    ("modulation_first_epoch", int, "the first epoch with modulation, counted from 1"),
    ("modulation_last_epoch", int, "the last epoch with modulation, 0 goes on to the end"),
    ("precision", ("fp32", "bf16", "fp16"), "numbers of the forward pass"),
    ("device", ("auto", "cpu", "cuda"), "where to train"),
    ("strategy", ("auto", "ddp", "fsdp"), "how several processes share the work"),
    ("compile", bool, "compile the network with torch.compile"),
    ("channels_last", ("auto", "on", "off"), "keep channels as the innermost axis in memory"),
    ("workers", int, "processes that read cases ahead"),
    ("threads", int, "CPU threads of each process, 0 leaves the choice to PyTorch"),
    ("seed", int, "starts the weights, the order of cases and dropout"),
    ("checkpoint_seconds", float, "seconds between states saved inside an epoch"),
    ("checkpoint_steps", int, "steps between states saved inside an epoch"),
)
"""Settings as flags of the command line: name, type or choices, help."""
