"""The inputs of a data file: the reader of each, its options, and where its files are."""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fusionkit.data import item_masks, path_template
from fusionkit.data.fields import DataFieldReader, entries, shown
from fusionkit.data.geometry.roi_options import Labels
from fusionkit.data.input_spec import InputSpec, Measures
from fusionkit.data.intensities import IntensityOptions, is_file
from fusionkit.data.readers.bag import BAG, BagOptions, BagReader
from fusionkit.data.readers.lookup import COLUMNS, MEASURED, reader_names, reader_of
from fusionkit.data.readers.reader import FileReader, InputReader, ReadError
from fusionkit.errors import GraphError, Span, did_you_mean
from fusionkit.registry.lookup import Registry
from fusionkit.syntax.tree import Leaf, Mapping, Tree, find, to_plain

MASK = "mask"
"""The reader of the masks of `roi`."""


@dataclass(frozen=True, slots=True)
class InputContext:
    """What the inputs of a data file refer to: its folder, the other folders that may be read, and readers."""

    folder: Path
    roots: tuple[Path, ...]
    registry: Registry


def read_inputs(form: DataFieldReader, place: InputContext) -> dict[str, InputSpec]:
    """Every entry of `inputs` that is right; what is wrong with the others is noted."""
    form.require("inputs", "{NAME: {read: columns, numeric: [age]}}")
    specs = (_input(form, name, tree, place) for name, tree in entries(form, "inputs").items())
    found = {spec.name: spec for spec in specs if spec is not None}
    measured = {name: _measured(form, spec, found, place) if spec.source is MEASURED else spec
                for name, spec in found.items()}
    return {name: spec for name, spec in measured.items() if spec is not None}


def _measured(form: DataFieldReader, spec: InputSpec, inputs: AbstractMapping[str, InputSpec], place: InputContext
              ) -> InputSpec | None:
    """The input of columns that `mask_statistics` stands for; None where `of` or the path of the mask is wrong."""
    options = spec.options
    images = [name for name, other in inputs.items()
              if other.source.files and other.source.name != MASK and other.bag is None]
    if options.of not in images:
        several = options.of in inputs and inputs[options.of].bag is not None
        why = (f"{options.of!r} has several items for a case, and columns one number" if several else
               f"there is no input {options.of!r} that is read from files of images")
        form.note("bad-option", f"option 'of' of input {spec.name!r} is not accepted",
                  find(form.tree, ("inputs", spec.name, "of")), why,
                  did_you_mean(options.of, images, f"name one of {', '.join(images)}") if images else
                  "add the input of the images")
        return None
    tree = form.tree.get("inputs")
    own = tree.get(spec.name) if isinstance(tree, Mapping) else None
    assert isinstance(own, Mapping), "an input that is not written; please report"
    mask = _mask_input(form, spec, own, place, path=options.mask, label=options.label, where=("mask",))
    if mask is None:
        return None
    return replace(spec, source=COLUMNS, options=options.as_columns(spec.name),
                   measures=Measures(inputs[options.of], mask, options))


def _input(form: DataFieldReader, name: str, tree: Tree, place: InputContext) -> InputSpec | None:
    if not isinstance(tree, Mapping):
        form.note("bad-value", f"input {name!r} must be a mapping, not {shown(tree)}", tree.span,
                  fix=f"write '{name}: {{read: READER, ...}}' with one of the readers "
                      + ", ".join(reader_names(place.registry)))
        return None
    reader = _reader(form, name, tree, place.registry)
    options = None if reader is None else _options(form, name, reader, tree)
    if reader is None or options is None:
        return None
    if reader is BAG:
        assert isinstance(options, BagOptions), "options of another reader; please report"
        return _bag(form, name, tree, place, options)
    spec = InputSpec(name, reader, options, tree.span, place.folder, roots=place.roots)
    placed = _placed_files(form, spec, tree)
    if placed is None:
        return None
    if getattr(options, "path", None) is None:
        return placed
    found = _file_input(form, placed, tree)
    return None if found is None else _with_masks(form, found, tree, place)


def _with_masks(form: DataFieldReader, spec: InputSpec, tree: Mapping, place: InputContext) -> InputSpec | None:
    """The input with what reads the masks, or the boxes, of `roi` and of `normalise`; None where a path is wrong."""
    roi = getattr(spec.options, "roi", None)
    if roi is not None and roi.files is not None:
        where = ("roi", "mask" if roi.mask is not None else "box")
        region = _mask_input(form, spec, tree, place, path=roi.files, label=roi.label, where=where)
        if region is None:
            return None
        spec = replace(spec, region=region)
    if isinstance(spec.options, IntensityOptions) and is_file(spec.options.mask):
        foreground = _mask_input(form, spec, tree, place, path=str(spec.options.mask), label=None, where=("mask",))
        return None if foreground is None else replace(spec, foreground=foreground)
    return spec


def _mask_input(form: DataFieldReader, spec: InputSpec, tree: Mapping, place: InputContext, *, path: str,
                label: Labels | None, where: tuple[str, ...]) -> InputSpec | None:
    """What reads the masks of an input, whose path stands at `where` in it; None where that is wrong."""
    try:
        reader = reader_of(MASK, place.registry, find(tree, where))
    except GraphError as error:
        form.found.extend(error.diagnostics)
        return None
    assert reader is not None, "the reader of masks is bundled; please report"
    options = reader.options.model_validate({"path": path, "label": label})
    return _file_input(form, InputSpec(spec.name, reader, options, spec.span, place.folder, roots=place.roots,
                                       written=where), tree)


def _bag(form: DataFieldReader, name: str, tree: Mapping, place: InputContext, bag: BagOptions) -> InputSpec | None:
    """An input of several items: the spec has the options of one, and those of the bag beside them."""
    inner = tree.entries["of"]
    assert isinstance(inner, Mapping), "options that are no mapping; please report"
    reader = _reader(form, name, inner, place.registry)
    if reader is not None and not isinstance(reader, FileReader):
        form.note("bad-option", f"the items of input {name!r} cannot be read by {reader.name!r}", inner.span,
                  why="it does not read one array from one file",
                  fix="choose a reader of files, such as 'of: {read: image}'")
    if not isinstance(reader, FileReader):
        return None
    where = {"path": bag.path or ", ".join(bag.columns or ()), "missing_ok": bag.missing_ok}
    options = _options(form, name, reader, inner, where)
    if options is None or not _fit_for_items(form, name, inner, options, bag):
        return None
    spec = InputSpec(name, BagReader(reader), options, tree.span, place.folder, roots=place.roots, bag=bag)
    if bag.columns is not None:
        return replace(spec, template_span=find(tree, ("columns",)))
    if "**" in str(bag.path):
        form.note("bad-template", f"the pattern {bag.path!r} has '**'", find(tree, ("path",)),
                  why="a folder too many would be read without a word", fix="write one '*' for each level of folders")
        return None
    made = _file_input(form, spec, tree)
    if made is not None:
        made = _with_masks(form, made, inner, place)
    if made is None or bag.table is None:
        return made
    table = _placed_file(form, spec, "table", bag.table, find(tree, ("table",)))
    if table is None:
        return None
    # The columns of its paths are those of the items' own table.
    region, foreground = (reader and replace(reader, template="") if made.lie_apart else reader
                          for reader in (made.region, made.foreground))
    return replace(made, template="", placed={"table": table}, region=region, foreground=foreground)


def _fit_for_items(form: DataFieldReader, name: str, tree: Mapping, options: Any, bag: BagOptions) -> bool:
    """Whether masks and boxes are of single items, where nothing says that these lie at one place; notes which not."""
    roi = getattr(options, "roi", None)
    mask = options.mask if isinstance(options, IntensityOptions) and is_file(options.mask) else None
    if bag.sliced or getattr(options, "like", None) is not None:
        return True  # and so has the case one mask
    for option, path in (("roi", None if roi is None else roi.files or ""), ("mask", mask)):
        wrong = None if path is None else _not_of_items(path, bag)
        if wrong is not None:
            form.note("bad-option", f"option {option!r} of input {name!r} is not for the items of a bag",
                      find(tree, (option,)), *wrong)
            return False
    return True


def _not_of_items(path: str, bag: BagOptions) -> tuple[str, str] | None:
    """Why the path of a mask, or the columns of a box where it is empty, is not of each item, and what to do."""
    like = "'like' under 'of' if they are registered"
    if bag.table is not None:
        known = path_template.columns(path) and not item_masks.stars(path)
        return None if known or not path else (
            "with 'table' the paths of masks are made of its columns, and each item has a mask of its own",
            f"write the column with the mask of an item, such as 'seg/{{mask}}', or {like}")
    if bag.columns is not None or not path:
        return ("a case has one region, and each item lies elsewhere",
                f"write 'table', a table with a row and a mask, or a box, for each item; or {like}")
    wanted, there = item_masks.stars(path), item_masks.stars(str(bag.path))
    if 0 < wanted <= there:
        return None
    return (f"each item lies elsewhere and has a mask of its own, and {path!r} is one path for all" if wanted == 0 else
            f"each '*' of {path!r} is what one of 'path' stands for, which has {there or 'none'}",
            f"write '*' in the path of the masks where 'path' has it, such as 'seg/{{case}}/*.nii.gz'; or {like}")


def _placed_files(form: DataFieldReader, spec: InputSpec, tree: Mapping) -> InputSpec | None:
    """The input with the files that its options name; None where one is not there."""
    written = {option: text for option in getattr(type(spec.options), "placed", ())
               if (text := getattr(spec.options, option)) is not None}
    found = {option: _placed_file(form, spec, option, text, find(tree, (option,))) for option, text in written.items()}
    good = {option: path for option, path in found.items() if path is not None}
    return replace(spec, placed=good) if len(good) == len(found) else None


def _placed_file(form: DataFieldReader, spec: InputSpec, option: str, written: str, span: Span) -> Path | None:
    """The file that an option names; None where it is not there, which is noted."""
    path = inside_roots(form, written, span, spec.root, spec.roots)
    if path is not None and not path.is_file():
        form.note("missing-file", f"no file {str(path)!r}", span, f"{option!r} of input {spec.name!r} names it",
                  f"correct {option!r}; it is relative to the data file")
        return None
    return path


def _reader(form: DataFieldReader, name: str, tree: Mapping, registry: Registry) -> InputReader | None:
    chosen = tree.get("read")
    word = chosen.value if isinstance(chosen, Leaf) else None
    try:
        found = reader_of(word, registry, chosen.span if chosen else None) if isinstance(word, str) else None
    except GraphError as error:
        form.found.extend(error.diagnostics)
        return None
    if found is None:
        what = f"unknown reader {shown(chosen)}" if chosen else f"input {name!r} has no 'read'"
        form.note("unknown-reader" if chosen else "missing-key", what, chosen.span if chosen else tree.span,
                  fix=did_you_mean(str(to_plain(chosen)) if chosen else "", reader_names(registry),
                                   f"choose one of {', '.join(sorted(reader_names(registry)))}"))
    return found


def _options(form: DataFieldReader, name: str, reader: InputReader, tree: Mapping,
             more: AbstractMapping[str, Any] | None = None) -> BaseModel | None:
    """The options of a reader, `more` being values that are not written there; None where one is wrong."""
    given = {key: to_plain(value) for key, value in tree.items() if key != "read"} | dict(more or {})
    try:
        return reader.options.model_validate(given)
    except ValidationError as problem:
        for error in problem.errors(include_url=False):
            _note_option(form, name, reader, tree, error)
        return None


def _note_option(form: DataFieldReader, name: str, reader: InputReader, tree: Mapping, error: Any) -> None:
    fields = reader.options.model_fields
    option = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        form.note("unknown-key", f"the reader {reader.name!r} has no option {option!r}", tree.keys[option],
                  fix=did_you_mean(option, (*fields, "read"), f"its options are {', '.join(fields)}"))
        return
    if error["type"] == "missing" and len(error["loc"]) == 1:
        form.note("missing-key", f"input {name!r} has no {option!r}", tree.span,
                  why=f"the reader {reader.name!r} needs it", fix=f"{option!r} means: {fields[option].description}")
        return
    path = tuple(part for part in error["loc"] if isinstance(part, str | int))
    # Messages of our validators may end in '; ' and a fix.
    message, _, fix = str(error["msg"]).removeprefix("Value error, ").partition("; ")
    message = "an entry is missing" if error["type"] == "missing" else message
    subject = f"option {option!r} of input {name!r}" if option else f"input {name!r}"
    value = tree.get(option)
    met = f"; it is {to_plain(value)!r}" if value is not None else ""
    form.note("bad-option", f"{subject} is not accepted", find(tree, path),
              why=message[:1].lower() + message[1:] + met,
              fix=f"{option!r} means: {fields[option].description}" if option in fields else fix or None)


def _file_input(form: DataFieldReader, spec: InputSpec, tree: Mapping) -> InputSpec | None:
    """The input with the place of its files."""
    span, written = find(tree, spec.written), str(spec.options.path).strip()
    wrong = path_template.fault(written)
    if wrong:
        form.note("bad-template", f"the path {written!r} cannot be filled in", span, why=wrong,
                  fix="write column names in braces, for example 'ct/{patient}/{series}'")
        return None
    for option in type(spec.options).filled:
        text = getattr(spec.options, option)
        if isinstance(text, str) and (wrong := path_template.fault(text)):
            form.note("bad-template", f"{option!r} of input {spec.name!r} cannot be filled in: {text!r}",
                      find(tree, (option,)), why=wrong, fix="write a column name in braces, for example '{series}'")
            return None
    if Path(written).is_absolute() and is_typed(span):
        root, rest = path_template.split_absolute(written)
        return replace(spec, root=root, template=rest, template_span=span)
    if Path(written).is_absolute():
        fixed = path_template.split_absolute(written)[0]
        try:
            path_template.inside(spec.root, str(fixed), spec.roots)
        except ReadError as problem:
            form.note(problem.code, f"the path {written!r} is absolute", span,
                      "a data file may only use paths inside its own folder or a folder that may be read",
                      path_template.outside_fix(spec.root, [fixed]) if problem.code == "path-outside" else problem.fix)
            return None
    return replace(spec, template=written, template_span=span)


def inside_roots(form: DataFieldReader, written: str, span: Span, folder: Path, roots: Sequence[Path]) -> Path | None:
    """A path in the file, in a folder that may be read."""
    try:
        return path_template.inside(folder, written, roots)
    except ReadError as problem:
        form.note(problem.code, problem.message, span, problem.why, problem.fix)
        return None


def is_typed(span: Span) -> bool:
    """Whether a value was typed on the command line."""
    return span.file.startswith("--set ")
