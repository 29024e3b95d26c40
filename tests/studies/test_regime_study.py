"""The regime map on hand-made rows: what it pairs, what it draws, what its verdicts rest on."""

import pytest

from kdtheory.arms import LABELS
from kdtheory.statistics.gate import gated
from kdtheory.studies.regime import REGIME, Measured, analyse, cases, cells_of, over_rms

SEEDS = range(3)


def cell(hand_made, offline=0.05, online=0.01, fit=0.95):
    """Rows of a cell's two runs: tau 4 is a point below tau 1."""
    first, second = [], []
    for seed in SEEDS:
        of_seed, noise = hand_made(seed), 0.001 * seed
        first += [
            of_seed.teacher(test_accuracy=0.8, train_accuracy=0.99),
            of_seed.student("labels", test_accuracy=0.6, train_accuracy=fit + noise),
            of_seed.student("offline", 1.0, test_accuracy=0.61 + offline + noise),
            of_seed.student("offline", 4.0, test_accuracy=0.6 + offline + noise),
        ]
        second.append(
            of_seed.student("online", 4.0, test_accuracy=0.6 + offline + online + 2 * noise)
        )
    return first, second


@pytest.fixture
def case_rows(hand_made):
    """Two numbers of epochs: offline gains less, and online more, after the longer training."""
    found = {}
    for epochs, values in ((8, (0.09, -0.02, 0.4)), (72, (0.05, 0.01, 0.95))):
        first, second = cell(hand_made, *values)
        found |= {f"lenet5x2-1000-{epochs}": first, f"lenet5x2-1000-{epochs}-online": second}
    found["lenet5x2-1000-8-complexity"] = [
        row
        for seed in SEEDS
        for row in (
            hand_made(seed).student("labels"),
            hand_made(seed).complexity("labels", adjusted_complexity=3.0, target_rms=0.5),
        )
    ]
    return found


def test_a_cells_arms_lie_in_two_runs(case_rows):
    cells = cells_of(case_rows)
    assert list(cells) == ["lenet5x2-1000-8", "lenet5x2-1000-72"]
    found = Measured.of(cells["lenet5x2-1000-72"])
    offline, online, warmer = found.gains.values()
    assert offline == pytest.approx({0: 5.0, 1: 5.1, 2: 5.2})
    assert online == pytest.approx({0: 1.0, 1: 1.1, 2: 1.2})
    assert warmer == pytest.approx({0: -1.0, 1: -1.0, 2: -1.0})
    assert found.overfit[0] == pytest.approx(35.0)
    assert found.teacher_overfit[0] == pytest.approx(19.0)


def test_the_verdicts_are_about_the_longest_training_and_the_course(case_rows):
    results = analyse(case_rows)
    verdicts = {each.hypothesis: each for each in results.findings}
    longest = {name: each for name, each in verdicts.items() if "1,000 examples, 72" in name}
    assert [each.verdict for each in longest.values()] == ["seen", "seen", "not seen"]
    assert {each.settings for each in longest.values()} == {("lenet5x2-1000-72",)}
    falls = next(each for name, each in verdicts.items() if "over labels falls" in name)
    assert (falls.verdict, round(falls.effect, 6)) == ("seen", 4.0)
    rises = next(each for name, each in verdicts.items() if "online over offline" in name
                 and "rises" in name)  # fmt: skip
    assert (rises.verdict, round(rises.effect, 6)) == ("seen", 3.0)


def test_a_student_that_has_not_fitted_closes_no_cell_and_a_poor_teacher_does(case_rows):
    """How far it has fitted is what is varied."""
    from kdtheory.statistics.setting_health import setting_health

    healths = {
        name: setting_health(
            name, rows, test_examples=10_000, num_classes=2, rate=0.03, teacher_rate=0.05
        )
        for name, rows in cells_of(case_rows).items()
    }
    assert list(healths["lenet5x2-1000-8"].faults) == ["fit"]
    found = gated(analyse(case_rows).findings, healths, varied=REGIME.varied)
    assert not any("fitted" in each.open for each in found)
    assert any(each.open for each in gated(found, healths))


def test_complexity_is_over_the_root_mean_square(case_rows):
    assert over_rms(case_rows["lenet5x2-1000-8-complexity"], LABELS) == {0: 6.0, 1: 6.0, 2: 6.0}
    table = analyse(case_rows).tables[0].texts()
    assert table["complexity over rms, labels"] == ["6.00 ± 0.00", "—"]


def test_the_figure_has_a_map_a_gain_and_the_fit(case_rows):
    figure = analyse(case_rows).figures[0].figure
    *maps, fit = figure.axes
    assert [len(axes.texts) for axes in maps] == [2, 2, 2]
    assert maps[0].texts[0].get_text().startswith("+9.")
    assert fit.get_xlabel().startswith("fitted")


def test_every_arm_has_its_own_rate_and_the_teacher_is_shared():
    runs = cases("small")
    tuned = {name for name, run in runs.items() if run.training.tune}
    assert tuned == {name for name in runs if not name.endswith("-complexity")}
    assert {run.teaching.teacher_epochs for run in runs.values()} == {40}
    assert all(run.teaching.online_until == 0.5 for run in runs.values())
