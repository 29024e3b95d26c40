"""The methods' study on hand-made rows: what it pairs, averages, ranks and draws."""

import pytest

from kdtheory.arms import Supervision
from kdtheory.methods import METHODS
from kdtheory.report.figures import render
from kdtheory.statistics.seeds import own_complexity
from kdtheory.studies import find_study
from kdtheory.studies.methods import ARMS, analyse, best_epoch

#: Accuracies and adjusted complexities: the more complex, the less accurate, but for crd.
ARM_VALUES = {
    ("labels", None): (0.50, 4.0),
    ("offline", 4.0): (0.55, 1.0),
    ("dkd", 4.0): (0.57, 0.5),
    ("crd", None): (0.53, 4.0),
}


@pytest.fixture
def rows(hand_made):
    made = []
    for seed in range(3):
        one, noise = hand_made(seed), 0.001 * seed
        made.append(one.teacher(test_accuracy=0.8))
        for (name, tau), (accuracy, complexity) in ARM_VALUES.items():
            on = {"arm": name, "temperature": tau}
            made += [
                one.student(name, tau, step=5, final=False, test_accuracy=accuracy + 0.1),
                one.student(name, tau, test_accuracy=accuracy + noise, training_seconds=7.0),
                one.complexity("labels", **on, adjusted_complexity=9.0, target_rms=1.0),
                one.complexity(name, tau, **on, adjusted_complexity=complexity, target_rms=0.5),
            ]
    return made


def test_every_method_is_an_arm():
    assert set(METHODS) < set(ARMS)
    for size in ("smoke", "small", "full"):
        for config in find_study("methods").cases(size).values():
            assert set(config.distillation.arms) == set(ARMS)


def test_the_last_epoch_decides_and_the_best_stands_beside_it(rows):
    table = analyse({"lenet5x2": rows}).tables[0]
    columns = {name: dict(zip(table.columns["arm"], column, strict=True))
               for name, column in table.columns.items()}  # fmt: skip
    dkd = "dkd, τ = 4"
    assert columns["test, last epoch"][dkd].mean == pytest.approx(57.1)
    assert columns["test, best epoch"][dkd].mean == pytest.approx(67.0)
    assert columns["gain over offline"][dkd].mean == pytest.approx(2.0)
    assert columns["gain over labels"][dkd].mean == pytest.approx(7.0)
    assert columns["complexity over rms"][dkd].mean == pytest.approx(1.0)
    assert columns["seconds"][dkd].mean == 7.0


def test_values_are_those_of_the_arms_own_targets(rows):
    crd = Supervision("crd", None)
    assert own_complexity(rows, crd, "over_rms") == dict.fromkeys(range(3), 8.0)
    assert best_epoch(rows, crd) == pytest.approx(dict.fromkeys(range(3), 0.63))


def test_verdicts(rows):
    results = analyse({"lenet5x2": rows})
    verdicts = {each.hypothesis: each.verdict for each in results.findings}
    assert verdicts["lenet5x2: offline above labels"] == "seen"
    assert verdicts["lenet5x2: dkd, τ = 4 above offline"] == "seen"
    assert verdicts["lenet5x2: crd above offline"] == "not seen"
    simple = "the less complex what supervises, the more accurate the student"
    assert verdicts[f"lenet5x2: over the methods: {simple}"] == "seen"
    assert "lenet5x2: offline, τ = 4 above offline" not in verdicts
    assert render(results.figures[0].figure, "png").startswith(b"\x89PNG")


def test_a_student_without_a_time_or_a_kernel_is_in_the_table(rows):
    bare = [{k: v for k, v in row.items() if k != "training_seconds"}
            for row in rows if row["kind"] != "complexity"]  # fmt: skip
    results = analyse({"lenet5x2": bare})
    assert len(results.tables[0].columns["arm"]) == len(ARM_VALUES)
    assert render(results.figures[0].figure, "png")
