"""TabICL's vector of a row of a table: a pretrained network that reads the training cases with their classes.

Source: Qu, Holzmueller, Varoquaux, Le Morvan 2025, TabICL, arXiv 2502.05564, sections 3.2 and 3.3; the layers are those
of the authors' package tabicl, BSD-3, to which recorded numbers are held. Training cases are embedded out of fold: a
case that is part of its own context would have its class in its vector.
"""
# Axes: N cases of the context, B asked cases, C columns, W width of the result.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from fusionkit_plugins.blocks.transformer import check_heads
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from fusionkit.api import (
    ComponentError,
    Config,
    Encoder,
    Fitted,
    Probes,
    Recorded,
    Release,
    Shape,
    TensorShape,
    TrainingRows,
    Vector,
)

_UNKNOWN = -1
"""The class of a case of the context whose target is not known."""
_START = 8
"""Cases of the context of a network that was not fitted: random ones, so that a graph can be tried."""
_PREDICTOR = "icl_predictor."


class TabIclConfig(Config):
    """Options of `encoder.tabicl`; those after `context` are named as in the `config` of a checkpoint of TabICL."""

    head: str = Field("", description="The head whose classes the context has; needed where there is more than one.")
    context: PositiveInt = Field(1000, ge=_START, examples=[16],
                                 description="Room for so many training cases, which are saved with the weights.")
    max_classes: PositiveInt = Field(10, ge=2, description="Number of classes that the network can read.")
    embed_dim: PositiveInt = Field(128, examples=[8], description="Width of the embedding of a cell; even.")
    col_num_blocks: PositiveInt = Field(3, le=100, examples=[1], description="Blocks over the cases of a column.")
    col_nhead: PositiveInt = Field(8, examples=[2], description="Their attention heads.")
    col_num_inds: PositiveInt = Field(128, examples=[3], description="Their inducing points.")
    col_affine: bool = Field(False, description="Whether they give a scale and a shift of the cell.")
    col_feature_group: Literal["none", "same", "valid"] = Field(
        "same", description="Whether a cell is embedded with others of its row: none (false in a checkpoint), same or "
                            "valid.")
    col_feature_group_size: PositiveInt = Field(3, description="How many cells are embedded together.")
    col_target_aware: bool = Field(True, description="Whether the cells of the context carry the class.")
    col_ssmax: Literal["none", "ssmax", "ssmax-mlp", "ssmax-mlp-elementwise", "qassmax-mlp", "qassmax-mlp-elementwise"
                       ] = Field("qassmax-mlp-elementwise", description="How attention scales with the context.")
    row_num_blocks: PositiveInt = Field(3, le=100, examples=[1], description="Blocks over the cells of a row.")
    row_nhead: PositiveInt = Field(8, examples=[2], description="Their attention heads.")
    row_num_cls: PositiveInt = Field(4, examples=[2], description="Summary tokens of a row, side by side in the result."
                                     )
    row_rope_base: PositiveFloat = Field(100_000, description="Base of the position code of columns.")
    row_rope_interleaved: bool = Field(True, description="Whether it rotates neighbours, as in TabICL 1, or halves.")
    ff_factor: PositiveInt = Field(2, description="Width inside a block, in multiples of the width.")
    norm_first: bool = Field(True, description="Whether norms stand before attention.")
    bias_free_ln: bool = Field(False, description="Whether norms have no shift.")

    @model_validator(mode="after")
    def _one_cell_is_scaled(self) -> Self:
        if self.col_affine and self.col_feature_group != "none":
            raise ValueError("'col_affine' needs 'col_feature_group: none': it scales a single cell")
        return self

    def sizes(self) -> dict[str, Any]:
        """What the package's constructor takes."""
        given = self.model_dump(exclude={"head", "context"})
        if self.col_feature_group == "none":
            given["col_feature_group"] = False
        return {**given, "dropout": 0.0, "icl_num_blocks": 1, "icl_nhead": 1}


class TabIcl(Fitted):
    """The concatenated summary tokens of a row, given a context of training cases with their classes.

    Its weights are frozen; what is fitted is the context: the training cases that have the input and a target of
    `head`, as the data file's reader gives them. While a network trains, a training case has the vector that the
    context without its fifth of the patients gives it, computed once; a row that was changed at random is computed
    anew. In evaluation the context is all training cases. Asked rows do not influence each other. The order of columns
    is part of the model. Numbers should be standardised.

    Shapes: (B, C); gives (B, W), W = row_num_cls * embed_dim. Missing rows are skipped. Until it is fitted the context
    is a few random rows.

    Raises: ComponentError if the sizes do not go together. When fitted: ValueError for more training cases than
    `context`, more classes than `max_classes`, no class target, or several and no `head`; RuntimeError if a network is
    trained in which it was not fitted.
    """

    when: ClassVar[Literal["start", "epochs"]] = "start"
    folds: ClassVar[int] = 5
    rows: Tensor
    classes: Tensor
    numbers: Tensor
    parts: Tensor
    vectors: Tensor
    count: Tensor
    fitted: Tensor

    def __init__(self, config: TabIclConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        from tabicl._model.tabicl import TabICL

        check_heads(config.embed_dim, config.col_nhead, "col_nhead")
        check_heads(config.embed_dim, 2 * config.row_nhead, "row_nhead")
        if config.embed_dim == 2 * config.row_nhead:
            raise ComponentError("heads of 2 features have no rotary code of the package",
                                 fix="choose 'row_nhead' of at most a quarter of 'embed_dim'")
        self.config = config
        whole = TabICL(**config.sizes())
        self.columns, self.row = whole.col_embedder, whole.row_interactor
        self.requires_grad_(False)
        # A cache would be a buffer that appears with the first call, which copies of a network would lack.
        self.row.tf_row.rope.cache_if_possible = False
        width = config.row_num_cls * config.embed_dim
        self.register_buffer("rows", torch.zeros(config.context, inputs[0].width))
        self.register_buffer("classes", torch.zeros(config.context, dtype=torch.int64))
        self.register_buffer("numbers", torch.zeros(config.context, dtype=torch.int64))
        self.register_buffer("parts", torch.zeros(config.context, dtype=torch.int64))
        self.register_buffer("vectors", torch.zeros(config.context, width))
        self.register_buffer("count", torch.tensor(_START))
        self.register_buffer("fitted", torch.tensor(False))
        self.rows[:_START] = torch.randn(_START, inputs[0].width)
        self.classes[:_START] = torch.arange(_START) % 2
        self.train()

    def train(self, mode: bool = True) -> TabIcl:
        """Set the mode; the package's layers keep that of training, which is their plain code without dropout."""
        super().train(mode)
        self.columns.train()
        self.row.train()
        return self

    def forward(self, table: Tensor) -> Tensor:
        """The vectors of asked rows."""
        if self.cases is None:
            return self._embedded(table, None)
        if not bool(self.fitted):
            raise RuntimeError("it was not fitted on the training cases, because its node is frozen; remove 'freeze', "
                               "its weights never change")
        assert self.fold is not None, "there are folds"
        count = int(self.count)
        place_B = torch.searchsorted(self.numbers[:count], self.cases).clamp(max=count - 1)
        same_B = (self.numbers[place_B] == self.cases) & (self.rows[place_B] == table).all(1)
        vectors = self.vectors[place_B].to(table.dtype)
        for fold in self.fold[~same_B].unique().tolist():
            asked_B = ~same_B & (self.fold == fold)
            vectors = vectors.clone()
            vectors[asked_B] = self._embedded(table[asked_B], fold).to(vectors.dtype)
        return vectors

    def _embedded(self, asked: Tensor, without: int | None) -> Tensor:
        """The vectors of rows in the context of all cases with a class, or of those outside a fold."""
        count = int(self.count)
        kept = self.classes[:count] != _UNKNOWN
        if without is not None:
            kept = kept & (self.parts[:count] != without)
        context = self.rows[:count][kept].to(asked.dtype)
        table = torch.cat([context, asked]).unsqueeze(0)
        classes = self.classes[:count][kept].to(asked.dtype).unsqueeze(0)
        found: Tensor = self.row(self.columns(table, y_train=classes))
        return found[0, len(context) :]

    def fit(self, rows: TrainingRows) -> None:
        """Keep the context; then, with each fold left out, the vectors of its cases."""
        there = rows.present[:, 0]
        if rows.fold is None:
            self._keep(rows, there)
            return
        count = int(self.count)
        inside = torch.isin(self.numbers[:count], rows.cases)
        self.parts[:count] = self.parts[:count].where(inside, rows.fold)
        left_out = ~inside
        if not bool(left_out.any()):
            return
        if not bool((self.classes[:count][inside] != _UNKNOWN).any()):
            raise ValueError(f"without fold {rows.fold + 1} of {self.folds} no training case has a class; give it more "
                             "patients")
        self.vectors[:count][left_out] = self._embedded(self.rows[:count][left_out], rows.fold).to(self.vectors.dtype)

    def _keep(self, rows: TrainingRows, there: Tensor) -> None:
        classes, known = _classes(self.config, rows)
        count = int(there.sum())
        if count > self.config.context:
            raise ValueError(f"there are {count:,} training cases, and 'context' is {self.config.context:,}: set "
                             f"'context: {count}' or more")
        most = int(classes[known & there].max()) + 1 if bool((known & there).any()) else 0
        if not 0 < most <= self.config.max_classes:
            raise ValueError(f"the target has {most} classes, and 'max_classes' is {self.config.max_classes}" if most
                             else "no training case has both the input and a class")
        self.rows[:count] = rows.inputs[0][there].to(self.rows.dtype)
        self.classes[:count] = classes.where(known, _UNKNOWN)[there]
        self.numbers[:count] = rows.cases[there]
        self.parts.fill_(_UNKNOWN)
        self.count.fill_(count)
        self.fitted.fill_(True)

    def adapt_weights(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a file: those of a checkpoint of TabICL by our names, without its last stage, and our context."""
        if not any(name.startswith("col_embedder.") for name in tensors):
            return tensors
        renamed = {"col_embedder": "columns", "row_interactor": "row"}
        own = {name: value for name, value in self.state_dict().items() if "." not in name}
        return own | {f"{renamed[first]}.{rest}": value for name, value in tensors.items()
                      for first, _, rest in (name.partition("."),) if not name.startswith(_PREDICTOR)}


def _classes(config: TabIclConfig, rows: TrainingRows) -> tuple[Tensor, Tensor]:
    """The class of each training case, and whether it is known."""
    of_classes = {name: target for name, target in rows.targets.items()
                  if target.dim() == 1 and not target.is_floating_point()}
    name = config.head or (next(iter(of_classes)) if len(of_classes) == 1 else "")
    if name not in of_classes:
        heads = ", ".join(of_classes) or "none"
        raise ValueError(f"there are several heads of classes ({heads}): name one under 'head'"
                         if of_classes and not config.head
                         else f"'head' is {config.head!r}; the heads of classes are: {heads}")
    return of_classes[name], rows.known[name]


def shape(config: TabIclConfig, inputs: Sequence[TensorShape]) -> Shape:
    """The summary tokens side by side."""
    return Vector((config.row_num_cls * config.embed_dim,))


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of the recorded network, of whose heads names and sizes say nothing."""
    width, grouped = shapes["col_embedder.in_linear.weight"]
    inside = shapes["row_interactor.tf_row.blocks.0.linear1.weight"][0]
    return {"embed_dim": width, "col_feature_group_size": grouped, "ff_factor": inside // width,
            "max_classes": shapes["col_embedder.y_encoder.weight"][1],
            "col_num_inds": shapes["col_embedder.tf_col.blocks.0.ind_vectors"][0],
            "row_num_cls": shapes["row_interactor.cls_tokens"][0],
            "col_num_blocks": 1, "row_num_blocks": 1, "col_nhead": 2, "row_nhead": 2}


def _replay(module: TabIcl, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """Rows of the context too, which here are never asked for, and the logits of the stage that is left out."""
    from tabicl._model.tabicl import TabICL

    last = TabICL(**{**module.config.sizes(), "icl_nhead": 2}).icl_predictor
    last.load_state_dict({name.removeprefix(_PREDICTOR): value for name, value in case.rest.items()})
    rows = module.row(module.columns(inputs[0], y_train=inputs[1]))
    return {"rows": rows, "logits": last(rows, y_train=inputs[1])}


_SMALL: dict[str, Any] = {"embed_dim": 8, "col_nhead": 2, "row_nhead": 2, "col_num_blocks": 1, "row_num_blocks": 1,
                          "col_num_inds": 3, "row_num_cls": 2, "context": 16}

component = Encoder(
    "tabicl", TabIclConfig, TabIcl, rule="B _", output=shape, category="table", paper="arXiv:2502.05564",
    licence="Apache-2.0", needs=("tabicl>=2.2",),
    reference={"release": Release(
        names={"columns": "col_embedder", "row": "row_interactor"}, unused=(_PREDICTOR,), read=_read, replay=_replay,
        own=("rows", "classes", "numbers", "parts", "vectors", "count", "fitted"),
        sizes=lambda inputs, meta: [[inputs[0][-1]]])},
    exceptions={
        "waits: item": "the number of cases of the context is a value", "waits: boolean index": "the same",
        "device": "the number of cases of the context is a value", "compile": "the same", "export": "the same",
        "dtype": "the package's embedding of classes is in single precision",
        "variance": "the package starts every block as an identity, so that summary tokens have read nothing; "
                    "weights are those of a file"},
    probes=Probes(together=[{**_SMALL, **more} for more in ({}, {"col_affine": True, "col_feature_group": "none"})]))
