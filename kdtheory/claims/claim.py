"""What a claim is, and what a check of one returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import matplotlib.axes


class Outcome(NamedTuple):
    """Result of one check.

    - `holds`: whether the claim held.
    - `margin`: by how much, in the unit that `detail` names; negative where it fails.
    - `detail`: one sentence with the numbers that decided.
    - `series`: what was measured, by name: what the figure shows and the JSON file holds.
    """

    holds: bool
    margin: float
    detail: str
    series: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement of the theory with the check that can refute it.

    - `name`: by which `validate` knows it.
    - `statement`: the claim, with its premises.
    - `source`: where it is from.
    - `varied`: what the check varies.
    - `check`: (quick, seed) -> Outcome. Further keywords, with the premises as defaults, break a
      premise: then the check must fail.
    - `draw`: draws an outcome into matplotlib axes.
    - `caveat`: what does not hold as it is often stated, and what does.
    """

    name: str
    statement: str
    source: str
    varied: str
    check: Callable[..., Outcome]
    draw: "Callable[[Outcome, matplotlib.axes.Axes], Any]"
    caveat: str = ""


def decided(margin: float, detail: str, **series: Any) -> Outcome:
    """Return the outcome that holds where the margin is not negative.

    >>> decided(-0.5, "too large by 0.5", x=[1, 2]).holds
    False
    """
    arrays = {name: np.asarray(values) for name, values in series.items()}
    # NaN decides nothing, so it does not hold either.
    return Outcome(bool(margin >= 0), float(margin), detail, arrays)
