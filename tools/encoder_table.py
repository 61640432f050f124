"""Writes docs/encoder-table.md from the installed encoders: what each takes, its pretrained forms, size, constraints.

Run: python tools/encoder_table.py
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from component_docs import bundled, example
from fusion_table import inputs_of, short, takes

from fusionkit.components.component import Component

PAGE = Path(__file__).resolve().parent.parent / "docs" / "encoder-table.md"
_HEADER = """\
# All encoders in one table

Made from the installed components by `tools/write_docs.py`; a test keeps it fresh. What each computes:
[one by one](components/encoders.md), [encoders](encoders.md). How weights of others are put in place:
[pretrained encoders](pretrained.md).

`takes`: v vectors, t tokens, i images, o volumes; other layouts by name. `pretrained`: `folder`, a folder with
config.json and weights; `cache`, timm's own cache; `convert`, `fusionkit weights convert` takes the checkpoint of the
authors. Every encoder starts from a file of its own tensors (`weights:`). Parameters are those of the example with
default options. A licence is that of the published weights, not of the code, and the page of the weights decides.

| id | category | takes | pretrained | example | parameters | known weights and their licence | constraints | source |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
_KNOWN: Mapping[str, str] = {
    "encoder.hf_text": "each its own; the recipe of the folder says it",
    "encoder.hf_vision": "each its own; the recipe of the folder says it",
    "encoder.resnet3d": "MedicalNet: MIT",
    "encoder.timm": "timm's record of each name, in `fusionkit build`; "
                    "[published folders](pretrained.md#published-forms)",
    "encoder.timm_stages": "as `encoder.timm`",
}
"""Weights that are published for a component, and their licence; what is not listed is not known here."""
_NEEDS: Mapping[str, str] = {
    "encoder.each_item": "an encoder of one item",
    "encoder.each_slice": "a volume with a fixed number of slices",
    "encoder.hf_text": "texts in windows of at most the network's positions",
    "encoder.hf_vision": "sides that are multiples of the patch; the size of the training, or `interpolate: true`",
    "encoder.monai": "densenet 29, seresnet50 3 on every axis; vit multiples of the patch",
    "encoder.nnunet": "residual: multiples of the product of the strides",
    "encoder.resnet3d": "any size; one channel in the published weights",
    "encoder.timm": "transformers: sides that are multiples of the patch",
    "encoder.timm_stages": "networks that are a sequence of stages",
}
"""What sizes or files a component needs besides what its rule says."""


def page() -> str:
    """The text of docs/encoder-table.md.

    Raises: KeyError if something is known of an encoder that is not there.
    """
    order = sorted((made for made in bundled("encoder") if isinstance(made, Component)),
                   key=lambda encoder: (encoder.category, encoder.id))
    strange = (_KNOWN.keys() | _NEEDS.keys()) - {encoder.id for encoder in order}
    if strange:
        raise KeyError(f"there is no {', '.join(sorted(strange))}")
    return _HEADER + "".join(map(_row, order)) + f"\n{len(order)} encoders.\n"


def _row(component: Component) -> str:
    seen = example(component.id)
    other = {"items": "items", "text": "text", "events": "events", "series": "series"}
    layouts = takes(component) or " ".join(word for layout, word in other.items() if layout in component.rule)
    cells = [f"`{component.id}`", component.category, layouts, _forms(component), inputs_of(seen),
             short(seen.parameters), _KNOWN.get(component.id, ""), _NEEDS.get(component.id, ""), component.paper or ""]
    return f"| {' | '.join(cells)} |\n"


def _forms(component: Component) -> str:
    options = component.config.model_fields
    forms = [("folder", "folder" in options), ("cache", "pretrained" in options),
             ("convert", bool(component.reference))]
    return ", ".join(word for word, there in forms if there)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
