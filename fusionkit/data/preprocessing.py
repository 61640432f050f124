"""What is learnt from training cases before any training: statistics of columns and counts of classes."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from fusionkit.data.description import DataDescription
from fusionkit.data.readers.columns import Categories, ColumnsFit, ColumnsOptions
from fusionkit.errors import DataError, Diagnostic

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Fitted on training rows only, saved with the run, and used again for every later case.

    `columns` is by input, `class_counts` by head and then by class.
    """

    columns: dict[str, ColumnsFit] = field(default_factory=dict)
    class_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    version: int = _VERSION

    def to_json(self) -> str:
        """The same as text, which `from_json` gives back without loss."""
        return _adapter().dump_json(self, indent=2).decode()

    @staticmethod
    def from_json(text: str | bytes) -> Preprocessing:
        """Preprocessing from its text.

        Raises: `DataError` with `bad-preprocessing` when the text is not what `to_json` writes.
        """
        try:
            found = _adapter().validate_json(text)
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            why = f"at {'.'.join(map(str, first['loc'])) or 'the top'}: {first['msg']}"
            raise DataError(Diagnostic("bad-preprocessing", "the preprocessing of the run cannot be read", why=why,
                                       fix="use the file as the run wrote it")) from None
        if found.version != _VERSION:
            raise DataError(Diagnostic("bad-preprocessing", f"preprocessing of version {found.version} cannot be read",
                                       fix="use the release of fusionkit that trained the run"))
        return found

    def layout(self, name: str) -> Categories:
        """The categories of an input in their places; a place that no training case filled is an empty text."""
        return tuple(tuple(category or "" for category in names) for names in self.columns[name].categories)

    def differences(self, description: DataDescription) -> list[Diagnostic]:
        """Where a data file reads columns in another way than the cases that this was fitted on."""
        found = []
        for name, fitted in self.columns.items():
            spec = description.inputs.get(name)
            if spec is None or not isinstance(spec.options, ColumnsOptions):
                continue
            for option, before, now in _settings(fitted, spec.options):
                if before != now:
                    found.append(Diagnostic("preprocessing-differs", f"input {name!r} is not read as in training: "
                                            f"{option!r} differs", description.span("inputs", name, option),
                                            why=f"in training it was {_show(before)}; here it is {_show(now)}",
                                            fix=f"write '{option}: {_show(before)}'"))
        return found


def _adapter() -> TypeAdapter[Preprocessing]:
    return TypeAdapter(Preprocessing)


def _settings(fitted: ColumnsFit, options: ColumnsOptions) -> list[tuple[str, object, object]]:
    indicator = "indicator" in (fitted.fill, options.fill)
    fill = [("fill", fitted.fill, options.fill)] if indicator else []
    dates = tuple(f"{column}: {rule}" for column, rule in options.date.items())
    numeric = fitted.numeric[: len(fitted.numeric) - len(fitted.dates)]
    return [("numeric", numeric, options.numeric), ("date", fitted.dates, dates),
            ("categorical", fitted.categorical, options.categorical),
            ("encode", fitted.encode, options.encode), ("standardise", fitted.standardise, options.standardise), *fill]


def _show(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


