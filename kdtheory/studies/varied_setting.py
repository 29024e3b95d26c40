"""The bound's terms beside accuracy, as one setting of the teaching varies: tables and findings."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from kdtheory.arms import Supervision
from kdtheory.report.bound_bars import BOUND_TERMS
from kdtheory.report.table import Line, Table
from kdtheory.rows import Row, number
from kdtheory.statistics.bounds import smallest_bounds
from kdtheory.statistics.correlations import rank_correlations
from kdtheory.statistics.findings import Finding, finding, judge
from kdtheory.statistics.seeds import final_values, mean_sd, percent
from kdtheory.studies.study import Values

#: What is measured of a place's targets.
OF_TARGETS = ("adjusted_complexity", "complexity", "margin", "over_rms")


class Place(NamedTuple):
    """One value of what is varied, and the students that were taught so."""

    value: float
    """Of what is varied."""
    arm: Supervision
    """On which the students are trained; its targets' complexity and bound are meant."""
    rows: list[Row]
    """Of the run."""
    targets: Mapping[str, Values]
    """{seed: value} by each of `OF_TARGETS`, of these targets, on kernels that are the same at
    every place."""


#: One value a seed, of a place.
Measure: TypeAlias = Callable[[Place], Values]


def complexity_over_margin(place: Place) -> Values:
    """Return {seed: adjusted complexity / margin}, which does not change with the targets' scale.

    It is half the bound's complexity term at gamma = margin. Seeds whose mean margin is not
    positive have none.
    """
    adjusted, margin = place.targets["adjusted_complexity"], place.targets["margin"]
    return {s: adjusted[s] / margin[s] for s in adjusted if margin.get(s, 0.0) > 0}


def accuracy_of(place: Place) -> Values:
    """Return {seed: last-epoch test accuracy in percent}."""
    return percent(final_values(place.rows, place.arm, "test_accuracy"))


def of_bound(name: str) -> Measure:
    """Return the measure of a field of a place's smallest bound."""

    def measure(place: Place) -> Values:
        rows = smallest_bounds(place.rows, place.arm)
        return {
            seed: value for seed, row in rows.items() if (value := number(row, name)) is not None
        }

    return measure


def of_targets(name: str) -> Measure:
    """Return the measure of one of `OF_TARGETS`."""
    return lambda place: place.targets[name]


#: The columns of the table.
MEASURES: dict[str, Measure] = {
    "complexity": of_targets("complexity"),
    "adjusted complexity": of_targets("adjusted_complexity"),
    "margin": of_targets("margin"),
    "adjusted / rms": of_targets("over_rms"),
    "adjusted / margin": complexity_over_margin,
    **{
        f"{term.label} term" if name.endswith("_term") else term.label: of_bound(name)
        for name, term in BOUND_TERMS.items()
    },
    "bound": of_bound("bound"),
    "γ": of_bound("gamma"),
    "test accuracy (%)": accuracy_of,
}

#: What the columns of the bound mean, for captions.
BOUND_CAPTION = (
    "The bound on a student's risk is the sum of the four terms before it, at the margin γ where "
    "it is smallest, with the student's kernel at initialisation; a bound of 1 or more says "
    "nothing about the risk, and there its minimum over a setting may only say where giving up "
    "(margin loss 1) is cheapest."
)


def terms_table(places: Sequence[Place], varied: str, caption: str) -> Table:
    """Return a line for each place: complexity, margin, the bound's terms, accuracy."""
    lines: list[Line] = [
        {
            "arm": place.arm.label,
            varied: place.value,
            **{header: measure(place) for header, measure in MEASURES.items()},
        }
        for place in places
    ]
    return Table.of_lines("table", caption, lines)


def lowest(places: Sequence[Place], measure: Measure, sign: float = 1.0) -> dict[int, int]:
    """Return {seed: position} of the place where a measure is lowest (sign -1: highest).

    Seeds that were not measured at every place are left out; of equal values the first counts.
    """
    values = [measure(place) for place in places]
    seeds = set.intersection(*(set(each) for each in values)) if values else set()
    return {
        seed: min(range(len(places)), key=lambda i: (sign * values[i][seed], i))
        for seed in sorted(seeds)
    }


def minima_table(
    groups: Mapping[str, Sequence[Place]],
    varied: str,
    more: Mapping[str, Mapping[str, Values]] | None = None,
) -> Table:
    """Return a line for each group of places: where each quantity is best.

    Args:
      groups: places by the line's name.
      varied: what is varied.
      more: further cells, by header and the line's name.
    """
    lines: list[Line] = [
        {
            "students": name,
            **{
                f"{varied} of {quantity}": {
                    seed: places[position].value
                    for seed, position in lowest(places, measure, sign).items()
                }
                for quantity, (measure, sign) in _EXTREMES.items()
            },
            **{header: cells[name] for header, cells in (more or {}).items()},
        }
        for name, places in groups.items()
    ]
    caption = (
        f"The {varied} at which each quantity is best, seed by seed; mean ± standard deviation "
        "over seeds. The best of several noisy accuracies is itself noisy: it is where accuracy "
        "was highest, not a setting that was chosen without the test examples."
    )
    return Table.of_lines("minima", caption, lines)


def trend(hypothesis: str, places: Sequence[Place], measure: Measure, sign: float) -> Finding:
    """Judge that a measure rises (sign 1) or falls (-1) with what is varied, in rank."""
    along = {place.value: dict(measure(place)) for place in places}
    varied = {value: dict.fromkeys(values, value) for value, values in along.items()}
    unit = f", {'' if sign > 0 else 'minus '}Spearman's rank correlation"
    values = [sign * rho for rho in rank_correlations(along, varied)]
    return finding(hypothesis, values, unit=unit)


def same_order(hypothesis: str, places: Sequence[Place], measure: Measure) -> Finding:
    """Judge that smaller values of a measure go with higher test accuracy, in rank."""
    values = rank_correlations(
        {place.value: measure(place) for place in places},
        {place.value: accuracy_of(place) for place in places},
    )
    return finding(hypothesis, [-rho for rho in values], unit=", minus Spearman's rank correlation")


def near_best(
    hypothesis: str, places: Sequence[Place], measure: Measure, *, logarithmic: bool = False
) -> Finding:
    """Judge that a measure is lowest within one step of the grid of where accuracy is best.

    The number a seed is 1.5 less the steps between the two; it is positive for 0 or 1 step.

    Args:
      hypothesis: in words.
      places: the grid.
      measure: what is smallest somewhere.
      logarithmic: tell the distance in log2 of what is varied.
    """
    bound, accuracy = lowest(places, measure), lowest(places, accuracy_of, -1.0)
    seeds = sorted(bound.keys() & accuracy.keys())
    if not seeds or len(places) < 3:
        return Finding(hypothesis, "undecided", "not measured at three places")
    verdict, effect, half_width = judge([1.5 - abs(bound[s] - accuracy[s]) for s in seeds])
    scale: Callable[[float], float] = math.log2 if logarithmic else float
    distances = [
        abs(scale(places[bound[s]].value) - scale(places[accuracy[s]].value)) for s in seeds
    ]
    steps = mean_sd([float(abs(bound[s] - accuracy[s])) for s in seeds]).mean
    at = [
        ", ".join(f"{places[found[s]].value:g}" for s in seeds) for found in (bound, accuracy)
    ]  # fmt: skip
    unit = " in log2" if logarithmic else ""
    return Finding(
        hypothesis,
        verdict,
        f"lowest at {at[0]}, most accurate at {at[1]} (by seed); mean absolute difference "
        f"{mean_sd(distances).mean:.2g}{unit}, {steps:.2g} steps",
        effect,
        half_width,
        len(seeds),
    )


def chosen_gain(
    hypothesis: str, places: Sequence[Place], measure: Measure, over: Place, sign: float = 1.0
) -> Finding:
    """Judge that the place where a measure is lowest is more accurate than one place.

    Args:
      hypothesis: in words.
      places: to choose from, seed by seed.
      measure: by which is chosen, without test examples.
      over: the place that is to be beaten.
      sign: -1 chooses where the measure is highest.
    """
    accuracy = [accuracy_of(place) for place in places]
    base = accuracy_of(over)
    chosen = {
        seed: position
        for seed, position in lowest(places, measure, sign).items()
        if seed in accuracy[position] and seed in base
    }
    gains = [accuracy[position][seed] - base[seed] for seed, position in chosen.items()]
    found = finding(hypothesis, gains, unit=" points")
    if len(places) == 1 or not chosen:
        return found
    # Where the choice is the place to be beaten, the gain is zero by construction.
    at = ", ".join(f"{places[position].value:g}" for position in chosen.values())
    return found._replace(evidence=f"{found.evidence}; chosen: {at} (by seed)")


_EXTREMES: dict[str, tuple[Measure, float]] = {
    "the smallest bound": (of_bound("bound"), 1.0),
    "the smallest complexity / margin": (complexity_over_margin, 1.0),
    "the best test accuracy": (accuracy_of, -1.0),
}
