"""Axes that fit their values: round bounds, a readable unit, a logarithmic scale if needed.

Axes of accuracy and loss start near the smallest value, not at zero, so that small differences are visible.

Example
-------
>>> share_axis("accuracy", [0.83, 0.91])[1:5]
('0%', 0.82, 0.92, 0.02)
"""

import math
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

N_STEPS = 6  # steps of an axis, approximately
LOG_FROM = 100.0  # ratio of the largest to the smallest value from which an axis is logarithmic
LOG_TOTALS_FROM = 10.0  # the same for the totals of several runs
LOG_AMOUNTS = '[>=1000000]#,##0,,"M";[>=1000]0,"k";0'  # number format
LOWEST_POWER, HIGHEST_POWER = -300, 300  # powers of ten on an axis
# Factor, prefix, and the commas by which a number format divides by it.
PREFIXES = ((1e9, "G", ",,,"), (1e6, "M", ",,"), (1e3, "k", ","))


class Axis(NamedTuple):
    """Title, Excel number format and bounds of an axis; without bounds, Excel chooses them."""

    title: str
    number_format: str
    low: Optional[float] = None
    high: Optional[float] = None
    step: Optional[float] = None
    is_log: bool = False


def round_axis(title: str, last: int) -> Axis:
    """Return an axis from 0 to a whole number."""
    return Axis(title, "0", *nice_bounds(0, max(last, 1), 1.0))


def share_axis(title: str, values: Sequence[Any]) -> Axis:
    """Return an axis for shares (1 = 100 %), within 0..1."""
    found = known(values)
    low, high, step = nice_bounds(min(found), max(found), 0.001)
    if min(found) >= 0 and max(found) <= 1:
        low, high = max(low, 0.0), min(high, 1.0)
    return Axis(title, _decimals(step * 100) + "%", low, high, step)


def loss_axis(title: str, values: Sequence[Any]) -> Axis:
    """Return an axis for losses: logarithmic if they are positive and their magnitudes differ widely."""
    found = known(values)
    low, high = min(found), max(found)
    if low > 0 and high / low >= LOG_FROM:
        return _log_axis(title, "General", low, high)
    if not math.isfinite(high - low) or max(abs(low), abs(high)) > 10.0**HIGHEST_POWER:
        return Axis(title, "General")
    low, high, step = nice_bounds(low, high, 0.0)
    return Axis(title, _decimals(step) if 1e-6 < step < 1e6 else "0.0E+00", low, high, step)


def amount_axis(title: str, largest: float, unit: str) -> Axis:
    """Return an axis from 0 for bytes ("B"), bits ("bit") or joules ("J"), with the prefix k, M or G if needed."""
    low, high, step = nice_bounds(0, max(largest, 1), 1.0)
    factor, letter, commas = next((prefix for prefix in PREFIXES if largest >= prefix[0]), (1.0, "", ""))
    return Axis("%s (%s%s)" % (title, letter, unit), _decimals(step / factor, "#,##0") + commas, low, high, step)


def spread_amount_axis(title: str, totals: Sequence[float], smallest: float, unit: str) -> Axis:
    """Return an axis for amounts that grow to ``totals``: logarithmic if the totals differ widely.

    ``smallest`` is the smallest amount drawn.
    """
    if smallest > 0 and max(totals) / min(totals) >= LOG_TOTALS_FROM:
        return _log_axis("%s (%s)" % (title, unit), LOG_AMOUNTS, smallest, max(totals))
    return amount_axis(title, max(totals), unit)


def _log_axis(title: str, number_format: str, low: float, high: float) -> Axis:
    """Return a logarithmic axis that encloses low..high, both > 0."""
    powers = [
        min(max(power, LOWEST_POWER), HIGHEST_POWER)
        for power in (math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ]
    return Axis(title, number_format, 10.0 ** powers[0], 10.0 ** powers[1], 10.0, True)


def nice_bounds(low: float, high: float, least_step: float) -> Tuple[float, float, float]:
    """Return multiples of a step that enclose low..high, and the step: 1, 2 or 5 times a power of ten."""
    width = high - low or abs(low) * 0.1 or 1.0
    exact = max(width / N_STEPS, least_step)
    power = 10.0 ** math.floor(math.log10(exact))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= exact * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if first == last:
        first, last = first - 1, last + 1
    return _short(first * step), _short(last * step), _short(step)


def known(values: Sequence[Any]) -> List[float]:
    """Return the values that are finite numbers."""
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def _decimals(step: float, whole: str = "0") -> str:
    """Return a number format with as many decimals as the step needs."""
    n_decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return whole + ("." + "0" * n_decimals if n_decimals else "")


def _short(value: float) -> float:
    """Round away binary noise: 0.30000000000000004 becomes 0.3."""
    return float("%.12g" % value)
