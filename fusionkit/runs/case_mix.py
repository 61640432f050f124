"""The mix of cases of several origins: dates, sites and the columns of the table, with standardised differences.

Source: Austin 2009, Balance diagnostics for comparing the distribution of baseline covariates between treatment groups,
doi:10.1002/sim.3697: the difference of means, or shares, in units of the root mean of both variances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from fusionkit.data.loading import Cohort
from fusionkit.files import csv_text, write_text
from fusionkit.runs.cohort_record import characteristics

CASE_MIX = "case-mix.csv"


@dataclass(frozen=True)
class CaseMix:
    """The mix of the cases of each origin, the first of which the others differ from; `parts` are plain data."""

    names: tuple[str, ...]
    parts: tuple[Mapping[str, Any], ...]

    def header(self) -> tuple[str, ...]:
        """The columns: the first origin, then each other with its standardised difference from the first."""
        first, *others = self.names
        return ("what", first, *(text for name in others for text in (name, "standardised difference")))

    def rows(self) -> list[tuple[str, ...]]:
        """Rows of text for `header`."""
        return list(self._rows())

    def _rows(self) -> Iterator[tuple[str, ...]]:
        yield self._told("cases", [str(part["cases"]) for part in self.parts])
        if any("dates" in part for part in self.parts):
            yield self._told("dates", [_dates(part.get("dates")) for part in self.parts])
        if any("sites" in part for part in self.parts):
            yield from self._sites()
        by_name = [{(each["input"], each["column"], each["kind"]): each for each in part["columns"]}
                   for part in self.parts]
        for key in by_name[0]:
            if not all(key in columns for columns in by_name):
                continue
            found, name = [columns[key] for columns in by_name], f"{key[1]} ({key[0]})"
            if key[2] == "number":
                yield self._told(f"{name}: mean (sd)", [_mean(one) for one in found],
                                 [_apart(*_moments(found[0]), *_moments(one)) for one in found[1:]])
            else:
                for value in dict.fromkeys(value for one in found for value in one["counts"]):
                    yield self._share(f"{name}: {value}, n (%)",
                                      [(one["counts"].get(value, 0), one["known"]) for one in found])
            yield self._share(f"{name}: missing, n (%)", [(one["missing"], one["cases"]) for one in found])

    def _sites(self) -> Iterator[tuple[str, ...]]:
        every = [part.get("sites") for part in self.parts]
        yield self._told("sites", ["not known" if sites is None else str(len(sites)) for sites in every])
        for site in list(dict.fromkeys(site for sites in every for site in sites or ()))[:20]:
            yield self._share(f"site {site}, n (%)", [((sites or {}).get(site, 0), part["cases"])
                                                      for sites, part in zip(every, self.parts, strict=True)])

    def _share(self, what: str, counts: Sequence[tuple[int, int]]) -> tuple[str, ...]:
        shares = [count / of if of else None for count, of in counts]
        return self._told(what, [f"{count} ({100 * count / of:.0f} %)" if of else str(count) for count, of in counts],
                          [_apart(shares[0], _bernoulli(shares[0]), share, _bernoulli(share)) for share in shares[1:]])

    def _told(self, what: str, cells: Sequence[str], apart: Sequence[float | None] = ()) -> tuple[str, ...]:
        first, *others = cells
        known = [*apart] or [None] * len(others)
        return (what, first, *(text for cell, number in zip(others, known, strict=True)
                               for text in (cell, "" if number is None else f"{number:.2f}")))


def case_mix(origins: Sequence[tuple[str, Cohort, Sequence[int]]]) -> CaseMix:
    """The mix of some rows of each cohort; the cohorts have the inputs of one network."""
    return CaseMix(tuple(name for name, _, _ in origins), tuple(
        {"cases": len(rows), **cohort.description.study.told(cohort.table, cohort.ids, rows),
         "columns": characteristics(cohort, rows)} for _, cohort, rows in origins))


def write_case_mix(folder: Path, mix: CaseMix) -> None:
    """The table as `case-mix.csv`."""
    write_text(folder / CASE_MIX, csv_text([mix.header(), *mix.rows()]))


def _dates(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "not known"
    period = f"{found['first']} to {found['last']}" if "first" in found else "of too few cases"
    return period + (f"; {found['missing']} not known" if found["missing"] else "")


def _mean(found: Mapping[str, Any]) -> str:
    return f"{found['mean']:.4g} ({found['sd']:.3g})" if "mean" in found else "of too few cases"


def _moments(found: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The mean and the variance."""
    return (found["mean"], found["sd"] ** 2) if "mean" in found else (None, None)


def _bernoulli(share: float | None) -> float | None:
    return None if share is None else share * (1 - share)


def _apart(mean: float | None, variance: float | None, other: float | None, other_variance: float | None
           ) -> float | None:
    """The standardised difference, None where it is not defined."""
    if mean is None or variance is None or other is None or other_variance is None:
        return None
    spread = sqrt((variance + other_variance) / 2)
    return (other - mean) / spread if spread else None
