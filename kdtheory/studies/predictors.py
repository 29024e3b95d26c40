"""Which quantity of a trained student ranks the arms by test accuracy, before the test is seen?"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kdtheory.arms import LABELS, Supervision
from kdtheory.palette import BLUE, GREY, VERMILION
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.table import Line, Table
from kdtheory.rows import Row, certificates, complexities, number, supervision_of
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.correlations import partial_rank_correlation, rank_correlation
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.groups import arms_in
from kdtheory.statistics.seeds import final_values, mean_sd
from kdtheory.studies.setting import setting
from kdtheory.studies.study import CaseRows, Expectation, Size, Study, Values
from kdtheory.training import OptimizerConfig

if TYPE_CHECKING:
    import matplotlib.figure

#: {seed: value} of an arm's students in the rows of a run.
_Read = Callable[[Sequence[Row], Supervision], Values]

RESAMPLES = 10_000


class Predictor(NamedTuple):
    """A quantity that is known of a trained student without its test examples."""

    name: str
    sign: int
    """1 where more is to mean a more accurate student, else -1."""
    of_theory: bool
    """Whether supervision complexity or what follows from it; otherwise a plain one."""
    apart: bool
    """Whether it takes labelled examples that no network was trained on."""
    read: _Read


def _complexity(of_labels: bool, over: str | None, *, first: bool = False) -> _Read:
    """Return the reader of an adjusted complexity, at the student's first or last point."""

    def read(rows: Sequence[Row], arm: Supervision) -> Values:
        found: Values = {}
        for row in complexities(rows, arm):
            at = row["step"] == 0 if first else row["final"]
            if at and supervision_of(row) == (LABELS if of_labels else arm):
                value = number(row, "adjusted_complexity")
                divisor = 1.0 if over is None else number(row, over)
                # Over a margin that is not above 0 it is as good as infinite.
                if value is not None and divisor is not None:
                    found[row["seed"]] = value / divisor if divisor > 0 else math.inf
        return found

    return read


def _certified(field: str, *, of_labels: bool = False) -> _Read:
    """Return the reader of what the whole sample set apart says of a fit on the learnt kernel."""

    def read(rows: Sequence[Row], arm: Supervision) -> Values:
        # At its end an online teacher is the final one: its supervision is stored as offline.
        own = Supervision("offline", arm.temperature) if arm.name == "online" else arm
        wanted = LABELS if of_labels else own
        found = [
            row
            for row in certificates(rows)
            if "arm" in row
            and Supervision(row["arm"], row["temperature"]) == arm
            and supervision_of(row) == wanted
        ]
        most = max((row["n"] for row in found), default=0)
        return {
            row["seed"]: value
            for row in found
            if row["n"] == most and (value := number(row, field)) is not None
        }

    return read


def _student(field: str) -> _Read:
    return lambda rows, arm: final_values(rows, arm, field)


PREDICTORS = (
    Predictor("complexity of own targets, initial kernel", -1, True, False,
              _complexity(False, None, first=True)),
    Predictor("complexity of own targets over margin, initial kernel", -1, True, False,
              _complexity(False, "margin", first=True)),
    Predictor("complexity of own targets over rms, initial kernel", -1, True, False,
              _complexity(False, "target_rms", first=True)),
    Predictor("complexity of own targets", -1, True, False, _complexity(False, None)),
    Predictor("complexity of own targets over margin", -1, True, False,
              _complexity(False, "margin")),
    Predictor("complexity of own targets over rms", -1, True, False,
              _complexity(False, "target_rms")),
    Predictor("complexity of true labels", -1, True, False, _complexity(True, None)),
    Predictor("certificate, own targets", -1, True, True, _certified("certificate")),
    Predictor("prequential error, own targets", -1, True, True, _certified("prequential_error")),
    Predictor("prequential error, true labels", -1, True, True,
              _certified("prequential_error", of_labels=True)),
    Predictor("leave-one-out error, own targets", -1, False, True,
              _certified("leave_one_out_error")),
    Predictor("leave-one-out error, true labels", -1, False, True,
              _certified("leave_one_out_error", of_labels=True)),
    Predictor("centred alignment with true labels", 1, False, True,
              _certified("alignment", of_labels=True)),
    Predictor("NTK similarity to the teacher", 1, False, False, _student("ntk_similarity")),
    Predictor("NTK similarity to the teacher, centred", 1, False, False,
              _student("ntk_similarity_centred")),
    Predictor("train fidelity", 1, False, False, _student("train_fidelity")),
    Predictor("train accuracy", 1, False, False, _student("train_accuracy")),
    Predictor("validation accuracy", 1, False, True, _student("validation_accuracy")),
)  # fmt: skip

#: Given which the partial correlations are.
GIVEN = "train accuracy"


def cases(size: Size) -> dict[str, RunConfig]:
    """Return data sets times students: tasks of digits and of CIFAR-100's classes."""
    if size == "smoke":
        return {"synthetic": setting(size, temperatures=(1.0, 4.0), certify=8)}
    if size == "full":
        common = {"validation_size": 5_000, "certify": 4_000, "kernel": "trace"}
        return {
            f"{name}-{student}": setting(size, student=student, **common, **task)
            for name, task in {
                "binary": {}, "cifar10": {"dataset": "cifar10", "task": "full"},
                "cifar100": {"task": "full"},
            }.items()
            for student in ("lenet5x8", "resnet20")
        }  # fmt: skip
    # Students that fit their few images: what ranks half-trained ones is how far they came.
    common = {
        "temperatures": (1.0, 4.0, 16.0), "kernel": "trace", "validation_size": 250,
        "certify": 250, "ntk_size": 250, "batch_size": 32, "points": 2, "test_size": None,
        "epochs": 40, "student_optimizer": OptimizerConfig(), "teacher_epochs": 30,
        "teacher_checkpoints": 5, "steps_per_dispatch": 1,
    }  # fmt: skip
    digits = {"dataset": "digits", "train_size": 400, "teacher_augment": False}
    classes = {"train_size": 1_000, "image_size": (16, 16)}
    tasks: dict[str, dict] = {
        "digits": {**digits, "task": "full"},
        "digits-even-odd": {**digits, "task": "even_odd"},
        "cifar100-classes-0-9": {**classes, "task": "classes:0-9"},
        "cifar100-classes-50-54": {**classes, "task": "classes:50-54"},
    }
    return {
        f"{name}-{student}": setting(size, student=student, **common, **task)
        for name, task in tasks.items()
        for student in ("mlp32x1", "lenet5x1")
    }


class Ranking(NamedTuple):
    """How a quantity ranks the arms of a run, a value a seed."""

    correlation: Values
    """Spearman's, with the sign that makes 1 the best."""
    partial: Values
    """The same given train accuracy."""
    lost: Values
    """Test accuracy of the best arm less that of the arm that it puts first."""


def ranking(rows: list[Row], predictor: Predictor) -> Ranking:
    """Return how one quantity ranks the arms of a run by their test accuracy, seed by seed."""
    arms = arms_in(rows)
    values, given, truth = (
        {arm: read(rows, arm) for arm in arms}
        for read in (predictor.read, _student("train_accuracy"), _student("test_accuracy"))
    )
    correlation, partial, lost = {}, {}, {}
    for seed in sorted({seed for of_arm in truth.values() for seed in of_arm}):
        there = [arm for arm in arms if seed in values[arm] and seed in truth[arm]]
        triples = [
            (predictor.sign * values[arm][seed], truth[arm][seed], given[arm][seed])
            for arm in there
        ]
        if len(triples) < 3 or len({triple[1] for triple in triples}) == 1:
            continue  # no ranking to find
        # What is the same for all arms ranks nothing.
        correlation[seed] = rank_correlation([triple[:2] for triple in triples]) or 0.0
        lost[seed] = max(triple[1] for triple in triples) - _of_first(triples)
        if len({triple[2] for triple in triples}) == 1:
            partial[seed] = correlation[seed]
        elif (found := partial_rank_correlation(triples)) is not None:
            partial[seed] = found
    return Ranking(correlation, partial, lost)


def _of_first(triples: Sequence[tuple[float, float, float]]) -> float:
    """Return the mean test accuracy of those that a quantity puts first, which may be level."""
    best = max(triple[0] for triple in triples)
    return math.fsum(t[1] for t in triples if t[0] == best) / sum(t[0] == best for t in triples)


def interval(by_run: Sequence[Values]) -> tuple[float | None, float | None]:
    """Return a 95 % interval of the mean over runs of means over seeds.

    Runs are drawn at random, and of each that is drawn its seeds. None with fewer than two runs.
    """
    import numpy as np

    there = [np.array(list(values.values())) for values in by_run if values]
    if len(there) < 2:
        return None, None
    rng = np.random.default_rng(0)
    drawn = [
        one[rng.integers(0, len(one), size=(RESAMPLES, len(one)))].mean(axis=1) for one in there
    ]
    # Each place in a resampling takes a run, and that run's means over its seeds as drawn there.
    runs = rng.integers(0, len(there), size=(RESAMPLES, len(there)))
    low, high = np.quantile(np.array(drawn).T[np.arange(RESAMPLES)[:, None], runs].mean(axis=1),
                            (0.025, 0.975))  # fmt: skip
    return float(low), float(high)


def mean_over_runs(by_run: Sequence[Values]) -> float | None:
    """Return the mean over runs of means over seeds; None where there are none."""
    return mean_sd(_of_runs(by_run)).mean


def _of_runs(by_run: Sequence[Values]) -> list[float]:
    means = [mean_sd(values.values()).mean for values in by_run]
    return [mean for mean in means if mean is not None]


def analyse(case_rows: CaseRows) -> Results:
    """Rank the arms of every run by each quantity, and hold that against their test accuracy."""
    found = {
        predictor: {case: ranking(rows, predictor) for case, rows in case_rows.items()}
        for predictor in PREDICTORS
    }
    ordered = sorted(
        found,
        key=lambda one: -(mean_over_runs([r.correlation for r in found[one].values()]) or -1.0),
    )
    caption = (
        "How well each quantity of the trained students ranks the arms of a run by test accuracy: "
        "Spearman's rank correlation over the arms of a seed, with the sign predicted beforehand "
        "(1: the ranking is right, -1: reversed, 0: chance, or the same for all arms); mean over "
        "seeds, then over runs, with a 95 % bootstrap interval that draws runs and seeds "
        f"({RESAMPLES} resamplings, generator seeded with 0). Given train accuracy: the partial "
        "rank correlation. Points lost: test accuracy of the best arm less that of the arm put "
        "first. Complexities are adjusted, on training examples, and at the end of training but "
        "where the initial kernel is named; true labels have one on the initial kernel for all "
        "arms, which ranks nothing. Examples set apart: no network saw them; a plain use of their "
        "labels is validation accuracy. Prequential and leave-one-out errors and the certificate "
        "are of fits with the kernel that the student learnt."
    )
    table = Table.of_lines("table", caption, [_line(one, found[one]) for one in ordered])
    by_run = Table.of_lines(
        "by_run",
        "The rank correlation of each quantity with test accuracy in each run, mean ± standard "
        "deviation over seeds.",
        [
            {"quantity": one.name, **{case: r.correlation for case, r in found[one].items()}}
            for one in ordered
        ],
    )
    figure = CaptionedFigure(
        "ranking",
        "Rank correlation of each quantity with the test accuracy over the arms. Full: mean over "
        "runs with its 95 % interval; red: of the theory, blue: plain. Hollow: given train "
        "accuracy. Grey strokes: single runs.",
        _figure(ordered, found),
    )
    return Results([table, by_run], [figure], _findings(found))


def _line(predictor: Predictor, runs: Mapping[str, Ranking]) -> Line:
    correlation, partial, lost = (
        [getattr(one, name) for one in runs.values()] for name in Ranking._fields
    )
    low, high = interval(correlation)
    partial_low, partial_high = interval(partial)
    points = mean_over_runs(lost)
    return {
        "quantity": predictor.name,
        "of the theory": "yes" if predictor.of_theory else "no",
        "takes examples set apart": "yes" if predictor.apart else "no",
        "rank correlation": mean_over_runs(correlation),
        "95 % from": low,
        "95 % to": high,
        "runs above 0": f"{sum(r > 0 for r in _of_runs(correlation))} of {len(runs)}",
        "given train accuracy": mean_over_runs(partial),
        "from": partial_low,
        "to": partial_high,
        "points lost": None if points is None else 100 * points,
    }


def _findings(found: Mapping[Predictor, Mapping[str, Ranking]]) -> list[Finding]:
    unit = ", Spearman's correlation over the arms, a mean a run"
    by_name = {
        one.name: {case: r.correlation for case, r in runs.items()} for one, runs in found.items()
    }
    ranks = [
        finding(f"{one.name} ranks the arms", _of_runs(list(by_name[one.name].values())), unit=unit)
        for one in found
    ]
    for first, second in (
        ("complexity of true labels", "complexity of own targets"),
        ("complexity of true labels", GIVEN),
        ("prequential error, own targets", GIVEN),
        ("prequential error, own targets", "validation accuracy"),
    ):
        gains = [
            mean
            for case in by_name[first]
            if (mean := _gain(by_name[first][case], by_name[second][case])) is not None
        ]
        ranks.append(finding(f"{first} ranks the arms better than {second}", gains, unit=unit))
    return ranks


def _gain(first: Values, second: Values) -> float | None:
    return mean_sd([first[seed] - second[seed] for seed in first.keys() & second.keys()]).mean


def _figure(
    ordered: Sequence[Predictor], found: Mapping[Predictor, Mapping[str, Ranking]]
) -> "matplotlib.figure.Figure":
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(9.0, 0.36 * len(ordered) + 1.4), layout="constrained")
    axes = canvas.subplots()
    for height, one in enumerate(reversed(ordered)):
        color = VERMILION if one.of_theory else BLUE
        correlation = [r.correlation for r in found[one].values()]
        values = _of_runs(correlation)
        axes.plot(values, [height] * len(values), "|", color=GREY, markersize=9)
        low, high = interval(correlation)
        if low is not None and high is not None:
            axes.plot([low, high], [height, height], color=color, linewidth=2)
        mean = mean_over_runs(correlation)
        if mean is not None:
            axes.plot(mean, height, "o", color=color, markersize=7)
        partial = mean_over_runs([r.partial for r in found[one].values()])
        if partial is not None:
            axes.plot(partial, height, "o", color=color, fillstyle="none", markersize=7)
    names = [f"{one.name}{' *' if one.apart else ''}" for one in reversed(ordered)]
    axes.set_yticks(range(len(ordered)), names)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set(
        xlabel="rank correlation with test accuracy over the arms\n(*: takes examples set apart)",
        xlim=(-1.05, 1.05),
    )
    axes.grid(True, axis="x", color="#EEEEEE")
    axes.set_axisbelow(True)
    return canvas


PREDICTORS_STUDY = Study(
    name="predictors",
    question="Which quantity of a trained student ranks the arms by test accuracy?",
    expected=(
        "The paper's quantity is the complexity of the arm's own targets: the less complex "
        "supervision gives the more accurate student. A complexity of the true labels in the "
        "kernel that the student learnt, and the prequential error that complexity adds up to, "
        "look at the labels and should rank better; whether better than train or validation "
        "accuracy, which cost nothing, is the question."
    ),
    cases=cases,
    costs={
        "smoke": "seconds",
        "small": "not measured yet",
        "full": "needs an accelerator; not measured",
    },
    expectations=(
        Expectation(
            "the less complex an arm's own targets, the more accurate its student",
            ("of own targets ranks", "targets over margin", "targets over rms", "initial kernel"),
            in_readme=False,
        ),
        Expectation(
            "complexity and prequential errors on the true labels rank the arms, better than plain "
            "quantities",
            ("ranks the arms better", "complexity of true labels ranks", "prequential error"),
            in_readme=False,
        ),
    ),
    varied={"teacher": "the arms are to be ranked, whatever the teacher is worth"},
    analyse=analyse,
)
