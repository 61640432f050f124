"""Grad-CAM and t-SNE of an explanation: the pictures and their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from fusionkit.data.batch import collate
from fusionkit.explanation.activations import Features
from fusionkit.explanation.feature_maps import FeatureMap
from fusionkit.explanation.gradcam import grad_cam
from fusionkit.explanation.overlay_plot import Overlay, overlay_figure
from fusionkit.explanation.request import CaseOutput, Cases, Explanation, ResolvedRequest
from fusionkit.explanation.selection import ChosenCase, ExplainedHead, correct
from fusionkit.explanation.tsne import Scatter, embed, perplexity_of, scatter_figure, why_not
from fusionkit.inference.predict import HeadResult

SEED = 0


def draw_maps(made: Explanation, resolved: ResolvedRequest, cases: Cases, chosen: Sequence[ChosenCase],
              device: torch.device) -> None:
    """Grad-CAM of every chosen case at every map, over every image or volume that the map depends on."""
    entries: list[dict[str, Any]] = []
    for item in chosen:
        batch = collate([cases.dataset[item.place]]).to(device)
        output = CaseOutput.of(resolved, cases, item)
        case = cases.ids[item.place]
        if output.value is None:
            made.notes.append(f"case {case!r}: {item.head!r} has no result, since its inputs are missing")
            continue
        absent = [name for name, mask in batch.present.items() if not bool(mask.all())]
        wanted = dict.fromkeys(name for place in resolved.places for name in place.inputs)
        made.notes.extend(f"case {case!r}: {name!r} is missing, so there is nothing to draw on"
                          for name in wanted if name in absent)
        for place in resolved.places:
            for name in place.inputs:
                if name not in absent and resolved.survey.reaches(place, item.head):
                    entries.extend(_map(made, resolved, item, output, place, name=name, case=case,
                                        inputs=batch.inputs, present=batch.present))
    made.data.setdefault("gradcam", []).extend(entries)


def _map(made: Explanation, resolved: ResolvedRequest, item: ChosenCase, output: CaseOutput, place: FeatureMap,
         *, name: str, case: str, inputs: Mapping[str, torch.Tensor], present: Mapping[str, torch.Tensor]
         ) -> list[dict[str, Any]]:
    image = inputs[name][0].cpu().double().numpy()
    heat = grad_cam(resolved.survey, place, item.head, output.column, inputs, present=present, size=image.shape[1:])
    if heat is None:
        made.notes.append(f"{place.name!r}: a component downstream passes no gradient, so it has no Grad-CAM")
        return []
    inside = f", module {place.module}" if place.module != place.node else ""
    nothing = "" if heat.max() > 0 else "; no position supports this result"
    channels, *grid = place.sizes
    title = (f"case {case}, {name}: Grad-CAM at node {place.node}{inside} ({channels} x {'x'.join(map(str, grid))})"
             f"{nothing}", f"{item.head}: {output.line}")
    path = made.folder.picture(partial(overlay_figure, Overlay(image, heat, title)), "gradcam", case, item.head, name,
                               place.name)
    return [{"case": case, "head": item.head, "explained": output.explained, "input": name, "node": place.node,
             "module": place.module, "map": list(place.sizes), "peak": float(f"{heat.max():.6g}"),
             "at": [int(index) for index in np.unravel_index(int(heat.argmax()), heat.shape)], "file": path}]


def draw_embeddings(made: Explanation, resolved: ResolvedRequest, cases: Cases, features: Mapping[str, Features],
                    fold: int | None = None) -> None:
    """The t-SNE picture of each head and its coordinates as a table; `fold` names the network, if there are several."""
    entries: list[dict[str, Any]] = []
    named, of_fold = ("", ()) if fold is None else (f", fold {fold}", (f"fold-{fold}",))
    for explained in resolved.heads:
        value = resolved.values[explained.name]
        found, result = features[value.name], cases.results[explained.name]
        rows = np.flatnonzero(cases.tested & found.there)
        reason = why_not(found.values[rows])
        if reason:
            made.notes.append(f"no t-SNE of {value.name!r}{named}: {reason}")
            continue
        left = int((cases.tested & ~found.there).sum())
        if left:
            made.notes.append(f"{left} cases are not in the t-SNE of {value.name!r}{named}, which they lack")
        points = embed(found.values[rows], SEED)
        scatter, how = _scatter(explained, result, rows, points)
        title = (f"t-SNE of {value.name} ({value.shape.layout}"
                 f"{', mean over positions' if value.shape.positions > 1 else ''}), head {explained.name}{named}", how)
        picture = made.folder.picture(partial(scatter_figure, scatter, title), "tsne", explained.name, value.name,
                                      *of_fold)
        known = result.known[rows]
        table = made.folder.table(
            ["id", "x", "y", "class", "wrong"],
            [[cases.ids[row], f"{x:.6g}", f"{y:.6g}", label, "" if not there else str(int(wrong))]
             for row, (x, y), label, wrong, there in zip(rows.tolist(), points, scatter.labels, scatter.wrong, known,
                                                         strict=True)], "tsne", explained.name, value.name, *of_fold)
        entries.append({"head": explained.name, **({} if fold is None else {"fold": fold}), "node": value.name,
                        "cases": len(rows), "seed": SEED,
                        "perplexity": float(f"{scatter.perplexity:.6g}"), "file": picture, "table": table})
    made.data.setdefault("tsne", []).extend(entries)


def _scatter(explained: ExplainedHead, result: HeadResult, rows: Any, points: Any) -> tuple[Scatter, str]:
    """The scatter of a head's cases, and what the colours mean as text."""
    names, task, known = explained.head.names, explained.head.task, result.known[rows]
    column = explained.column or 0
    perplexity = perplexity_of(len(rows))
    if task == "regression":
        wanted = result.targets[rows].reshape(len(rows), -1)
        true = bool(known.all()) and not np.isnan(wanted[:, column]).any()
        shown = wanted[:, column] if true else result.values[rows, column]
        what = f"{'true' if true else 'predicted'} {names[column]}"
        labels = tuple(f"{number:.6g}" for number in shown)
        return Scatter(points, labels, np.zeros(len(rows), dtype=bool), (what,), perplexity, shown), f"colour: {what}"
    wrong = known & ~correct(result)[rows]
    if task == "multiclass":
        labels = tuple(names[int(result.targets[row])] if there else "not known"
                       for row, there in zip(rows.tolist(), known, strict=True))
        return Scatter(points, labels, wrong, names, perplexity), "colour: true class"
    target = result.targets[rows].reshape(len(rows), -1)
    cells = target[:, column] if target.shape[1] > column else np.full(len(rows), np.nan)
    yes, no = names[column], f"not {names[column]}"
    labels = tuple(yes if value == 1 else no if there and value == 0 else "not known"
                   for value, there in zip(cells, known, strict=True))
    wrong = known & np.isin(cells, (0, 1)) & ((result.values[rows, column] > 0.5) != (cells == 1))
    return Scatter(points, labels, wrong, (no, yes), perplexity), f"colour: true label {names[column]}"
