"""When the online teacher changes: how often, and by time or by complexity."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

from kdtheory.arms import LABELS, Supervision
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.table import Line, Table
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.correlations import rank_correlations
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.groups import arms_in
from kdtheory.statistics.seeds import differences, final_values, own_complexity, percent
from kdtheory.studies.checkpoint_spans import checkpoint_complexities, teachings
from kdtheory.studies.schedule_figure import (
    UNTIL,
    Teachers,
    online_by_part,
    schedule_figure,
    spread_of,
)
from kdtheory.studies.setting import TEACHER_OPTIMIZER, binary_setting
from kdtheory.studies.study import CaseRows, Expectation, Size, Study, Values
from kdtheory.training.optimizers import Schedule

#: Learning-rate schedules of the teacher, the one that rises earliest first.
_EARLIEST_FIRST = ("step", "cosine", "constant")


def cases(size: Size) -> dict[str, RunConfig]:
    """Return a run a teacher and number of checkpoints, named TEACHER-CHECKPOINTS.

    TEACHER is the learning-rate schedule, with until-PART where the checkpoints are spread over
    another part of the student's training. The first run holds all arms, as does that of each
    learning-rate schedule; the others its online students alone.
    """
    all_arms = ("labels", "offline", "online", "matched")
    common: dict[str, Any] = {"temperatures": (1.0, 4.0), "bounds": True, "matched_on": "over_rms"}
    common["online_until"] = UNTIL
    sizes: dict[Size, tuple[int, tuple[int, ...], tuple[float, ...], tuple[Schedule, ...]]] = {
        "smoke": (4, (2,), (1.0,), ("constant",)),
        "small": (20, (5, 2), (0.25, 1.0), ()),
        "full": (64, (32, 8, 2), (0.25, 1.0), ("constant", "step")),
    }
    most, fewer, parts, schedules = sizes[size]
    # The matched rule reads the student's progress off its measuring points.
    of_size: dict[Size, dict[str, Any]] = {
        "smoke": {"epochs": 4, "teacher_checkpoints": most, "points": 3},
        "small": {"temperatures": (4.0,), "points": 6, "ntk_size": 256},
        "full": {"points": 11},
    }
    common |= of_size[size]
    found = {f"cosine-{most}": binary_setting(size, arms=all_arms, **common)}
    for count in fewer:
        found[f"cosine-{count}"] = binary_setting(
            size, arms=("online",), online_checkpoints=count, **common
        )
    if size == "full":
        # Twice an epoch.
        found["cosine-320"] = binary_setting(
            size, arms=("online",), **{**common, "teacher_checkpoints": 320}
        )
    for part in parts:
        found[f"cosine-until-{part:g}-{most}"] = binary_setting(
            size, arms=("online",), **{**common, "online_until": part}
        )
    for name in schedules:
        optimizer = dataclasses.replace(TEACHER_OPTIMIZER, schedule=name)
        found[f"{name}-{most}"] = binary_setting(
            size, arms=all_arms, teacher_optimizer=optimizer, **common
        )
    return found


def analyse(case_rows: CaseRows) -> Results:
    """Set accuracy beside when, how often, and by which rule, the teacher changed."""
    teachers = by_teacher(case_rows)
    lines = [
        _line(teachers, name, count, arm)
        for name, runs in teachers.items()
        for count, rows in runs.items()
        for arm in _taught(rows)
    ]
    caption = (
        "Mean ± standard deviation over seeds. Rule: by time, a number of checkpoints spread over "
        f"the first part of the student's training ({UNTIL:g} where no other is said; 1 is the "
        "paper's rule); matched (ours), the latest whose part of the final complexity over the "
        "targets' mean square the student on labels has reached; offline, the last one always. "
        "Complexity before training: "
        "(1/n) √(‖h‖² Tr K) of the checkpoint that teaches, averaged over the student's steps, all "
        "with the kernel K of the untrained student, h the fit of the targets less its "
        "predictions. Adjusted complexity: of the arm's supervision on its own student, averaged "
        "over the measuring points. Gain: in points, paired by seed."
    )
    figure = CaptionedFigure(
        "schedule",
        "Top left: accuracy against the part of the student's training in which the teacher "
        "changes (0: offline). Top right: accuracy against the number of checkpoints that the "
        "online teacher uses (1: offline), and of matched students at the number that taught "
        "them. Bands are one standard deviation. Bottom left: complexity of the teachers' "
        "checkpoints before the student is trained, along the teacher's training. Bottom right: "
        "which checkpoint teaches at which epoch of the student, by the matched rule (a line a "
        "seed) and by time. All but bottom left: the first teacher.",
        schedule_figure(teachers),
    )
    table = Table.of_lines("table", caption, lines)
    return Results([table], [figure], _findings(teachers))


def by_teacher(case_rows: CaseRows) -> Teachers:
    """Return {teacher: {number of checkpoints: rows}}, in the runs' order.

    >>> by_teacher({"cosine-20": [], "cosine-5": [], "cosine-until-1-20": []})
    {'cosine': {20: [], 5: []}, 'cosine-until-1': {20: []}}
    """
    found: dict[str, dict[int, list[Row]]] = {}
    for case, rows in case_rows.items():
        name, count = case.rsplit("-", 1)
        found.setdefault(name, {})[int(count)] = rows
    return found


def _taught(rows: list[Row]) -> list[Supervision]:
    """Return the arms that a teacher's checkpoints teach."""
    return [arm for arm in arms_in(rows) if arm.name in ("offline", "online", "matched")]


def _line(teachers: Teachers, name: str, count: int, arm: Supervision) -> Line:
    rows, (schedule, part) = teachers[name][count], spread_of(name)
    base = next(iter(teachers[schedule].values()))
    accuracy = final_values(rows, arm, "test_accuracy")
    labels, offline = (
        final_values(base, each, "test_accuracy")
        for each in (LABELS, Supervision("offline", arm.temperature))
    )
    changes = {seed: float(each.changes) for seed, each in teachings(rows, arm, count).items()}
    by_time = f"by time, {count} checkpoints over {part:g}"
    return {
        "teacher's schedule": schedule,
        "rule": by_time if arm.name == "online" else arm.name,
        "τ": arm.temperature,
        "changes of teacher": changes,
        "complexity before training": before_training(rows, arm, count),
        "adjusted complexity": own_complexity(rows, arm, "adjusted_complexity"),
        "test accuracy (%)": percent(accuracy),
        "gain over labels": percent(differences(accuracy, labels)),
        "gain over offline": (
            None if arm.name == "offline" else percent(differences(accuracy, offline))
        ),
    }


def before_training(rows: list[Row], arm: Supervision, count: int) -> Values:
    """Return {seed: complexity} of the checkpoints that teach an arm, averaged over its training.

    On the kernel of the untrained student; `checkpoint_complexities` defines it.
    """
    complexities = checkpoint_complexities(rows, arm.temperature)
    return {
        seed: teaching.mean(complexities[seed])
        for seed, teaching in teachings(rows, arm, count).items()
    }


def earliness(rows: list[Row], temperature: float | None) -> Values:
    """Return {seed: mean over the checkpoints of complexity / the last one's complexity}.

    The higher, the earlier in its training a teacher reaches the complexity that it ends with.
    """
    return {
        seed: math.fsum(along.values()) / (len(along) * list(along.values())[-1])
        for seed, along in checkpoint_complexities(rows, temperature).items()
        if list(along.values())[-1] > 0
    }


def _findings(teachers: Teachers) -> list[Finding]:
    found: list[Finding] = []
    for schedule, runs in teachers.items():
        if spread_of(schedule)[0] != schedule:
            continue
        first = runs[next(iter(runs))]
        temperatures = [arm.temperature for arm in arms_in(first) if arm.name == "online"]
        for tau in temperatures:
            found += _about_parts(teachers, schedule, tau)
            found += _about_frequency(schedule, runs, tau)
            matched, online = (
                final_values(first, Supervision(name, tau), "test_accuracy")
                for name in ("matched", "online")
            )
            found.append(
                finding(
                    f"{schedule}, τ = {tau:g}: matched above the rule by time",
                    differences(matched, online), scale=100, unit=" points",
                )
            )  # fmt: skip
    return found + _about_learning_rates(teachers)


def _about_parts(teachers: Teachers, schedule: str, tau: float | None) -> list[Finding]:
    """Judge what it does to let the teacher change for longer."""
    accuracy = online_by_part(teachers, schedule, tau)
    offline = accuracy[0.0]
    online = {part: values for part, values in accuracy.items() if part > 0}
    parts = {part: dict.fromkeys(values, part) for part, values in online.items()}
    found = [
        finding(
            f"{schedule}, τ = {tau:g}: online above offline, the teacher changing in the first "
            f"{part:g} of the student's training",
            differences(values, offline), scale=100, unit=" points",
        )
        for part, values in online.items()
    ]  # fmt: skip
    if len(online) > 2:
        found.append(
            finding(
                f"{schedule}, τ = {tau:g}: the sooner the teacher's changes end, the more accurate "
                "is the online student",
                [-rho for rho in rank_correlations(parts, online)],
                unit=", minus Spearman's correlation over the parts",
            )
        )
    return found


def _about_frequency(
    schedule: str, runs: Mapping[int, list[Row]], tau: float | None
) -> list[Finding]:
    """Judge what more checkpoints do; offline is one checkpoint."""
    online, offline = Supervision("online", tau), Supervision("offline", tau)

    def by_count(
        value: Callable[[list[Row], Supervision, int], Values],
    ) -> dict[int, dict[int, float]]:
        first = next(iter(runs))
        measured = {1: value(runs[first], offline, first)}
        return measured | {count: value(rows, online, count) for count, rows in runs.items()}

    accuracy = by_count(lambda rows, arm, _: final_values(rows, arm, "test_accuracy"))
    complexity = by_count(before_training)
    if len(accuracy) < 3:
        return []
    counts = {
        count: dict.fromkeys(accuracy[count].keys() | complexity[count].keys(), float(count))
        for count in accuracy
    }
    unit = ", {}Spearman's correlation over the numbers of checkpoints"
    return [
        finding(
            f"{schedule}, τ = {tau:g}: the more often the teacher changes, the more accurate is "
            "the student",
            rank_correlations(counts, accuracy),
            unit=unit.format(""),
        ),
        finding(
            f"{schedule}, τ = {tau:g}: the more often the teacher changes, the less complex is "
            "the supervision before training",
            [-rho for rho in rank_correlations(counts, complexity)],
            unit=unit.format("minus "),
        ),
    ]


def _about_learning_rates(teachers: Teachers) -> list[Finding]:
    """Judge in which order the teachers' trajectories rise."""
    present = [name for name in _EARLIEST_FIRST if name in teachers]
    found: list[Finding] = []
    for earlier, later in itertools.combinations(present, 2):
        first, second = (next(iter(teachers[name].values())) for name in (earlier, later))
        found += [
            finding(
                f"τ = {arm.temperature:g}: the complexity of the {later} teacher's "
                f"checkpoints rises later in its training than the {earlier} teacher's",
                differences(*(earliness(rows, arm.temperature) for rows in (first, second))),
                unit=" of the last checkpoint's, less in the mean over the checkpoints",
            )
            for arm in arms_in(first)
            if arm.name == "online"
        ]
    return found


SCHEDULE = Study(
    name="schedule",
    question="When should the online teacher change: for how long, how often, by which rule?",
    expected=(
        "A teacher's early checkpoints are less complex. The more checkpoints the online teacher "
        "uses, the sooner they come and the less complex is the supervision over the student's "
        "training, so accuracy should rise with their number; offline is one checkpoint. But a "
        "student can follow its teacher only while its own learning rate is large: the teacher's "
        "changes should end early. If complexity is the reason, a teacher that changes with the "
        "complexity a student takes on should teach better than one that changes by time. A "
        "teacher's complexity follows the sum of its learning rates, so that it rises later with a "
        "constant rate than with a cosine."
    ),
    cases=cases,
    costs={
        "smoke": "seconds",
        "small": "20 min on one core, and the teachers of temperature",
        "full": "needs an accelerator; not measured",
    },
    expectations=(
        Expectation("online above offline, where the teacher's changes end early", ("online",)),
        Expectation(
            "a teacher that changes often is simpler and better",
            ("the more often",),
            in_readme=False,
        ),
        Expectation(
            "matched to the student's complexity above by time", ("matched",), in_readme=False
        ),
    ),
    analyse=analyse,
)
