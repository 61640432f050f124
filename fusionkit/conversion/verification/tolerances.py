"""How far a result may be from the recorded one, based on the metadata of a case."""

from __future__ import annotations

from dataclasses import dataclass

from fusionkit.conversion.verification.case import Expected, Fixture

SMALL, LARGE = 1e-5, 1e-4
GRADIENT, SUM = 1e-4, 1e-4
_MANY = 1_000_000
_ROUNDED = 2e-6
"""If the release in float32 differs from itself in float64 by more than this, its results are large."""
_WIDER, _MARGIN = 3e-5, 6.0


@dataclass(frozen=True)
class Tolerance:
    """The largest absolute error allowed; `exact` for results that were computed in float64.

    With `relative`, gradient errors are relative to the largest entry.
    """

    results: float
    gradients: float = GRADIENT
    exact: float = 1e-6
    relative: bool = False

    def of(self, expected: Expected) -> float:
        """The bound for one recorded result."""
        if expected.role in ("gradient", "weight gradient"):
            return self.gradients * (float(abs(expected.array).max()) if self.relative else 1.0)
        return self.exact if expected.array.dtype.itemsize == 8 else self.results


def tolerance_of(fixture: Fixture) -> Tolerance:
    """The tolerance of a case.

    Networks with millions of parameters: 1e-4. Else 1e-5; if the release in float32 differs from itself in float64
    by more than 2e-6, six times that difference and at least 3e-5. Float64 results without parameters: 1e-6; those
    that depend on filled parameters, for example a refit: 1e-4.
    """
    if fixture.relative_gradients:
        return Tolerance(SMALL, relative=True)
    if int(fixture.meta.get("params", 0)) >= _MANY:
        return Tolerance(LARGE, exact=LARGE)
    rounding = max(fixture.meta.get("float64_max_abs_diff", {}).values(), default=0.0)
    results = SMALL if rounding <= _ROUNDED else max(_WIDER, _MARGIN * rounding)
    return Tolerance(results, exact=1e-6 if fixture.shapes is None else 1e-4)
