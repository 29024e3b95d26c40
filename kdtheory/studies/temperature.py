"""The temperature: complexity, margin, the bound's terms and accuracy as tau rises."""

import math

from kdtheory.arms import LABELS, ArmName, Supervision
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.rows import Row, arm_of, students
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.bounds import smallest_bounds
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.seeds import final_values, mean_complexity, percent
from kdtheory.studies.setting import BOUND_RIDGES, binary_setting
from kdtheory.studies.study import CaseRows, Expectation, Size, Study, Values
from kdtheory.studies.varied_setting import (
    BOUND_CAPTION,
    OF_TARGETS,
    Place,
    accuracy_of,
    chosen_gain,
    complexity_over_margin,
    minima_table,
    near_best,
    of_bound,
    of_targets,
    same_order,
    terms_table,
    trend,
)
from kdtheory.studies.varied_setting_figure import Line, draw_terms_and_accuracy

TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0)

_TAUGHT: tuple[ArmName, ...] = ("offline", "online")


def cases(size: Size) -> dict[str, RunConfig]:
    """Return one run, whose arms have every temperature."""
    return {
        "temperatures": binary_setting(
            size,
            arms=("labels", "offline") if size == "small" else ("labels", "offline", "online"),
            temperatures=TEMPERATURES if size == "full" else TEMPERATURES[::2],
            points=5 if size == "full" else 2,
            bounds=True,
            bound_ridges=BOUND_RIDGES,
        )
    }


def analyse(case_rows: CaseRows) -> Results:
    """Set what the bound says about the temperature beside what it does to accuracy."""
    (rows,) = case_rows.values()
    groups: dict[str, list[Place]] = {name: places_of(rows, name) for name in _TAUGHT}
    groups = {name: places for name, places in groups.items() if places}
    caption = (
        "Mean ± standard deviation over seeds. Complexity, its adjusted form and the margin are of "
        "the targets at this temperature on the student trained on labels, means over the "
        "measuring points; over their root mean square (rms) or margin, adjusted complexity does "
        "not change with the targets' scale. "
        f"{BOUND_CAPTION} The "
        "online teacher's bound is that of the checkpoint where it is smallest; that choice itself "
        "is not paid for in the confidence term."
    )
    tables = [
        terms_table([place for places in groups.values() for place in places], "τ", caption),
        minima_table(groups, "τ"),
    ]
    figure = CaptionedFigure(
        "temperature",
        "Left: adjusted complexity and margin of the targets, and their ratio. Middle: the bound, "
        "its terms and the students' test error; above the dashed line a bound says nothing. "
        "Right: test accuracy after the last epoch. Means over seeds, bands and bars one standard "
        "deviation to each side; the vertical line is at the smallest mean bound.",
        draw_terms_and_accuracy(
            [
                Line(
                    name,
                    places,
                    [
                        (place.value, list(smallest_bounds(rows, place.arm).values()))
                        for place in places
                    ],
                )
                for name, places in groups.items()
            ],
            "temperature τ",
            logarithmic=True,
            labels_accuracy=percent(final_values(rows, LABELS, "test_accuracy")),
        ),
    )
    found = [each for name, places in groups.items() for each in _findings(name, places)]
    return Results(tables, [figure], found)


def places_of(rows: list[Row], name: ArmName) -> list[Place]:
    """Return the places of one arm, by rising temperature."""
    temperatures = {
        arm.temperature
        for arm in map(arm_of, students(rows))
        if arm.name == name and arm.temperature is not None
    }
    return [
        Place(tau, Supervision(name, tau), rows, _targets(rows, Supervision(name, tau)))
        for tau in sorted(temperatures)
    ]


def _targets(rows: list[Row], supervision: Supervision) -> dict[str, Values]:
    """Return the targets' values on the student of the labels, means over the points."""
    return {name: mean_complexity(rows, LABELS, supervision, name) for name in OF_TARGETS}


def _findings(name: str, places: list[Place]) -> list[Finding]:
    first = places[0]
    return [
        trend(f"{name}: adjusted complexity falls as τ rises", places, _ADJUSTED, -1.0),
        trend(f"{name}: the margin falls as τ rises", places, of_targets("margin"), -1.0),
        trend(
            f"{name}: adjusted complexity falls by more than the margin as τ rises (their ratio "
            "falls)",
            places,
            complexity_over_margin,
            -1.0,
        ),
        trend(
            f"{name}: adjusted complexity over rms falls as τ rises",
            places,
            of_targets("over_rms"),
            -1.0,
        ),
        _levelling(name, places),
        near_best(
            f"{name}: the τ of the smallest bound is within one step of that of the best accuracy",
            places,
            _BOUND,
            logarithmic=True,
        ),
        near_best(
            f"{name}: the τ of the smallest complexity / margin is within one step of that of the "
            "best accuracy",
            places,
            complexity_over_margin,
            logarithmic=True,
        ),
        same_order(f"{name}: a smaller bound goes with higher accuracy over τ", places, _BOUND),
        chosen_gain(
            f"{name}: the τ of the smallest bound is more accurate than τ = {first.value:g}",
            places,
            _BOUND,
            first,
        ),
        *(
            chosen_gain(
                f"{name}: τ = {place.value:g} more accurate than τ = {first.value:g}",
                [place],
                accuracy_of,
                first,
            )
            for place in places[1:]
        ),
    ]


def _levelling(name: str, places: list[Place]) -> Finding:
    """For small z / tau targets are z / (2 tau), and their ratio no longer depends on tau."""
    hypothesis = f"{name}: complexity / margin changes by less at the last step of τ than the first"
    if len(places) < 3:
        return finding(hypothesis, [])
    first, second, before, last = (
        complexity_over_margin(places[i]) for i in (0, 1, len(places) - 2, len(places) - 1)
    )
    seeds = sorted(first.keys() & second.keys() & before.keys() & last.keys())
    return finding(
        hypothesis,
        [
            abs(math.log(second[seed] / first[seed])) - abs(math.log(last[seed] / before[seed]))
            for seed in seeds
        ],
        unit=" in the logarithm",
    )


_ADJUSTED = of_targets("adjusted_complexity")
_BOUND = of_bound("bound")

TEMPERATURE = Study(
    name="temperature",
    question="Where does the teacher-student bound put the best temperature, and where is it?",
    expected=(
        "Targets 2 sigmoid(z / τ) - 1 shrink as τ rises: complexity and margin fall both, and "
        "theory does not say that complexity falls by more; for small z / τ the targets are "
        "z / (2 τ), and complexity over margin no longer changes. If the bound is of use, it is "
        "smallest near the τ of the most accurate student."
    ),
    cases=cases,
    costs={
        "smoke": "seconds",
        "small": "10 min on one core, and 9 for the shared teachers",
        "full": "needs an accelerator; not measured",
    },
    expectations=(
        Expectation("complexity over rms and over margin falls as τ rises", ("over rms", "ratio")),
        Expectation("a higher τ more accurate than τ = 1", (": τ = ",), in_readme=False),
        Expectation(
            "the bound finds a good τ", ("the smallest bound", "a smaller bound"), in_readme=False
        ),
    ),
    analyse=analyse,
)
