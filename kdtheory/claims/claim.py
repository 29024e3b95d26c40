"""What a claim is, and what a check of one returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import matplotlib.axes


class Outcome(NamedTuple):
    """Result of one check."""

    holds: bool
    """Whether the claim held."""
    margin: float
    """By how much, in the unit that `detail` names; negative where it fails."""
    detail: str
    """One sentence with the numbers that decided."""
    series: Mapping[str, np.ndarray]
    """What was measured, by name: what the figure shows and the JSON file holds."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement of the theory with the check that can refute it."""

    name: str
    """By which `validate` knows it."""
    statement: str
    """The claim, with its premises."""
    source: str
    """Where it is from."""
    varied: str
    """What the check varies."""
    check: Callable[..., Outcome]
    """(quick, seed) -> Outcome. Further keywords, with the premises as defaults, break a premise:
    then the check must fail.
    """
    draw: "Callable[[Outcome, matplotlib.axes.Axes], Any]"
    """Draws an outcome into matplotlib axes."""
    caveat: str = ""
    """What does not hold as it is often stated, and what does."""


def decided(margin: float, detail: str, **series: Any) -> Outcome:
    """Return the outcome that holds where the margin is not negative.

    >>> decided(-0.5, "too large by 0.5", x=[1, 2]).holds
    False
    """
    arrays = {name: np.asarray(values) for name, values in series.items()}
    # NaN decides nothing, so it does not hold either.
    return Outcome(bool(margin >= 0), float(margin), detail, arrays)
