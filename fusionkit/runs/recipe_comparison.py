"""What the recipe of pretrained weights says of their input, compared with what the data file makes of the cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from fusionkit.data.description import DataDescription
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.intensities import MeanAndSd
from fusionkit.data.readers.bag import BagReader
from fusionkit.data.readers.reader import FileReader
from fusionkit.data.windows import several
from fusionkit.errors import DataError, Diagnostic
from fusionkit.planning.plan import Plan
from fusionkit.planning.weights_used import UsedWeights, weights_used
from fusionkit.pretrained.recipe import Recipe, RecipeInput
from fusionkit.shapes.layouts import MaskedItems, TensorShape

CODES = ("recipe-differs", "recipe-unchecked")
"""A difference, and what was not compared."""
_CLOSE = 1e-3
"""How far apart, as a share of the range, values may lie that count as the same: means are published with 3 digits."""
_OUR_ORDER = {"image": "hw", "volume": "dhw"}
_INTERPOLATION = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}


@dataclass(frozen=True)
class _Point:
    """One part of a recipe: its words and the data file's; `open` says why they cannot be compared."""

    part: str
    wanted: str
    met: str = ""
    same: bool = True
    open: str = ""


def recipe_findings(plan: Plan, description: DataDescription) -> list[Diagnostic]:
    """Warnings where the data file makes other inputs than weights were trained with, and of what was not compared.

    Raises: GraphError if a recipe is wrong.
    """
    found: list[Diagnostic] = []
    for used in weights_used(plan):
        if used.recipe is not None:
            found += _of_network(used, used.recipe)
            found += _of_inputs(used, used.recipe, plan, description)
    return list(dict.fromkeys(found))


def network_findings(plan: Plan) -> list[Diagnostic]:
    """Of these warnings those that need no data: another network, or other options, than the recipe has.

    Raises: GraphError if a recipe is wrong.
    """
    return list(dict.fromkeys(each for used in weights_used(plan) if used.recipe
                              for each in _of_network(used, used.recipe)))


def refuse_differences(warnings: Sequence[Diagnostic]) -> None:
    """Raise the differences from recipes as errors, for `--strict`. Raises: DataError."""
    found = [replace(each, severity="error") for each in warnings if each.code == CODES[0]]
    if found:
        raise DataError(found)


def _of_network(used: UsedWeights, recipe: Recipe) -> Iterator[Diagnostic]:
    """Differences between the component of the recipe, with its options, and that of the node."""
    network, options = recipe.content.network, used.config.model_dump(mode="json")
    points = []
    if network is not None:
        points.append(_Point("network.use", network.use, used.use, network.use == used.use))
        points += [_Point(f"network.with.{name}", _shown(value), _shown(options[name]), _alike(value, options[name]))
                   for name, value in network.options.items() if name in options]
    pool = recipe.content.features.pool if recipe.content.features else None
    if pool is not None and "pool" in options:
        points.append(_Point("features.pool", pool, _shown(options["pool"]), pool == options["pool"]))
    for point in points:
        if not point.same:
            yield Diagnostic(
                "recipe-differs", f"{point.part.rpartition('.')[2]!r} of node {used.node.name!r} is {point.met}; the "
                f"recipe of its weights says {point.wanted}", used.node.node.span, _why(recipe, point.part),
                "write what the recipe says, or correct the recipe", "warning")


def _of_inputs(used: UsedWeights, recipe: Recipe, plan: Plan, description: DataDescription) -> Iterator[Diagnostic]:
    if not recipe.content.input.model_dump(exclude_none=True):
        return
    inputs = {value.name: value.shape for value in plan.inputs}
    read = [value.name for value in used.node.reads if used.first]
    direct = [name for name in read if name in inputs and name in description.inputs]
    if not direct:
        yield _unchecked(used, recipe, "'input'", "the network does not read an input of the data file itself")
    for name in direct:
        spec, shape = description.inputs[name], inputs[name]
        of_one = shape.item if isinstance(shape, MaskedItems) else shape
        points = list(_points(recipe.content.input, spec, of_one, used))
        for point in points:
            if not point.open and not point.same:
                yield Diagnostic(
                    "recipe-differs", f"input {name!r} has {point.part} {point.met}; the weights of node "
                    f"{used.node.name!r} were trained with {point.wanted}", spec.span,
                    _why(recipe, f"input.{point.part.split()[0].rstrip(',:')}"),
                    "change the options of the input, or correct the recipe", "warning")
        rest = [f"{point.part} ({point.open})" for point in points if point.open]
        if rest:
            yield _unchecked(used, recipe, f"of input {name!r}", "; ".join(rest))


def _unchecked(used: UsedWeights, recipe: Recipe, what: str, why: str) -> Diagnostic:
    return Diagnostic("recipe-unchecked", f"not checked against the recipe of node {used.node.name!r}: {what}",
                      recipe.span("input"), why, "compare it by hand", "warning")


def _why(recipe: Recipe, part: str) -> str:
    span = recipe.span(*part.split("."))
    return f"{span.file}:{span.line}:{span.column}: {span.text.strip()}"


def _points(wanted: RecipeInput, spec: InputSpec, shape: TensorShape, used: UsedWeights) -> Iterator[_Point]:
    if wanted.layout is not None:
        yield _Point("layout", wanted.layout, shape.layout, wanted.layout == shape.layout)
    if wanted.channels is not None:
        yield _Point("channels", f"{len(wanted.channels)} ({', '.join(wanted.channels)})", str(shape.width),
                     len(wanted.channels) == shape.width)
    ours = _OUR_ORDER.get(shape.layout)
    order = wanted.order or ours
    if ours is None or order is None or sorted(order) != sorted(ours):
        yield _Point("order", wanted.order or "", open=f"the input is no {wanted.layout or 'image or volume'}")
    else:
        if wanted.order is not None:
            yield _Point("order", wanted.order, ours, wanted.order == ours)
        yield from _of_grid(wanted, spec.options, dict(zip(ours, shape.spatial, strict=True)), order)
    yield from _of_values(wanted, spec, shape.width, used)


def _of_grid(wanted: RecipeInput, options: Any, sizes: Mapping[str, int], order: str) -> Iterator[_Point]:
    """Sizes, spacing and orientation, each in the recipe's order of axes."""
    met = [sizes[axis] for axis in order]
    if wanted.size is not None:
        yield _Point("size", _times(wanted.size), _times(met), wanted.size == met)
    if wanted.divisible is not None:
        parts = [wanted.divisible] * len(met) if isinstance(wanted.divisible, int) else wanted.divisible
        yield _Point("divisible", f"multiples of {_times(parts)}", _times(met),
                     all(size % part == 0 for size, part in zip(met, parts, strict=True)))
    if wanted.spacing is not None:
        given = getattr(options, "spacing", None)
        if given is None or len(given) != len(order) or None in given:
            yield _Point("spacing", _times(wanted.spacing), open="the data file sets none, so that files keep theirs")
        else:
            own = dict(zip("dhw"[-len(given):], given, strict=True))
            yield _numbers("spacing", wanted.spacing, [own[axis] for axis in order])
    if wanted.orientation is not None:
        code = getattr(options, "orient", None)
        if code is None or code == "keep" or len(order) < 3:
            yield _Point("orientation", wanted.orientation, open="the data file sets no 'orient'")
        else:
            directions = dict(zip("whd", code, strict=True))
            met_code = "".join(directions[axis] for axis in order)
            yield _Point("orientation", f"{wanted.orientation} along {order}", f"{met_code} along {order}",
                         wanted.orientation == met_code)
    yield from _of_resampling(wanted, options)


def _of_resampling(wanted: RecipeInput, options: Any) -> Iterator[_Point]:
    if wanted.resize is not None:
        given = getattr(options, "interpolate", None)
        given = "linear" if given == "auto" else given
        kind = _INTERPOLATION.get(wanted.resize, wanted.resize)
        yield _Point("resize", wanted.resize, str(given), kind == given,
                     "" if given else "the reader resizes nothing")
    if wanted.crop is not None:
        sized = getattr(options, "size", None) is not None
        fit = getattr(options, "how_fitted", "") if sized else ""
        yield _Point("crop", wanted.crop, f"none ('fit: {fit}')" if fit in ("stretch", "pad") else f"'fit: {fit}'",
                     (fit in ("crop", "cover")) == (wanted.crop == "center"),
                     "" if fit else "the data file sets no 'size'")
    if wanted.pad is not None:
        given = getattr(options, "pad", None)
        yield _Point("pad", f"{wanted.pad:g}", "" if given is None else f"{given:g}", given == wanted.pad,
                     "the data file sets none" if given is None else "")


def _of_values(wanted: RecipeInput, spec: InputSpec, channels: int, used: UsedWeights) -> Iterator[_Point]:
    """The window, the statistics of a case, and the values that the ends of the range become."""
    options = spec.options
    windows, clip = several(getattr(options, "window", None)), getattr(options, "clip", None)
    cut = windows[0] if len(windows) == 1 else clip
    if wanted.window is not None:
        met = "several" if len(windows) > 1 else _range(cut) if cut else "none"
        yield _Point("window", _range(wanted.window), met, cut is not None and _near(wanted.window, cut))
    way = getattr(options, "normalise", None)
    if wanted.per_case is not None:
        yield _Point("per_case", wanted.per_case, _per_case(way, getattr(options, "mask", None)),
                     wanted.per_case == _per_case(way, getattr(options, "mask", None)))
    if all(each is None for each in (wanted.scale, wanted.mean, wanted.std)):
        return
    part = "scale, mean and std"
    if isinstance(way, str) and way != "none":
        yield _Point(part, "", open=f"'normalise: {way}' depends on the case")
        return
    ends = (0.0, 1.0) if windows else clip or _stored(spec)
    start = wanted.scale or wanted.window or ends
    if ends is None or start is None:
        yield _Point(part, "", open="the range of stored values is not known; neither 'window' nor 'clip' is set")
        return
    own = (way.mean, way.sd) if isinstance(way, MeanAndSd) else (0.0, 1.0)
    here = [(each - own[0]) / own[1] for each in ends]
    told = used.told
    met_ends = _applied(here, told.mean, told.std) if told else [tuple(here)]
    aim = _applied(start, wanted.mean or (), wanted.std or ())
    count = max(len(met_ends), len(aim))
    if 1 < count != channels or (len(aim) > 1 and len(met_ends) not in (1, len(aim))):
        yield _Point(part, "", open=f"the recipe has {len(aim)} channels and the input {channels}")
        return
    met_all, aim_all = _spread(met_ends, count), _spread(aim, count)
    yield _Point(f"{part}: values", _ends(aim_all), _ends(met_all), all(
        abs(one - other) <= _CLOSE * (to[1] - to[0]) for to, own_ends in zip(aim_all, met_all, strict=True)
        for one, other in zip(to, own_ends, strict=True)))


def _stored(spec: InputSpec) -> tuple[float, float] | None:
    """The range of values where neither a window nor a clip sets it, None if only the files tell."""
    source = spec.source.of if isinstance(spec.source, BagReader) else spec.source
    return source.declared.scaled if isinstance(source, FileReader) else None


def _applied(ends: Sequence[float], mean: Sequence[float], std: Sequence[float]) -> list[tuple[float, ...]]:
    """The two ends of the range after mean and deviation, of each channel."""
    count = max(len(mean), len(std), 1)
    means, deviations = list(mean or [0.0]), list(std or [1.0])
    return [tuple((end - (middle if middle is not None else means[0])) / (spread if spread is not None else
                                                                          deviations[0]) for end in ends)
            for middle, spread in list(zip_longest(means, deviations))[:count]]


def _spread(ends: Sequence[tuple[float, ...]], count: int) -> list[tuple[float, ...]]:
    return list(ends) * count if len(ends) == 1 else list(ends)


def _per_case(way: object, mask: str | None) -> str:
    if way is None or way == "none" or isinstance(way, MeanAndSd):
        return "none"
    if way != "zscore" or mask == "all":
        return str(way)
    return "zscore_foreground" if mask == "above_zero" else f"zscore of other voxels (mask: {mask or 'not given'})"


def _numbers(part: str, wanted: Sequence[float], met: Sequence[float]) -> _Point:
    return _Point(part, _times(wanted), _times(met), _near(wanted, met))


def _near(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) <= 1e-6 * max(abs(a), abs(b), 1.0) for a, b in zip(one, other, strict=True))


def _times(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _range(ends: Sequence[float]) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"


def _ends(ends: Sequence[tuple[float, ...]]) -> str:
    return ", ".join(f"{low:.4g} to {high:.4g}" for low, high in dict.fromkeys(ends))


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _alike(one: object, other: object) -> bool:
    return (list(one) if isinstance(one, tuple) else one) == (list(other) if isinstance(other, tuple) else other)
