"""The gate before a study's findings: what each check refuses, and what it does to a verdict."""

import math

import numpy as np
import pytest
from scipy import stats

from kdtheory.statistics.findings import Finding, finding, verdict_line
from kdtheory.statistics.gate import gated
from kdtheory.statistics.setting_health import seeds_to_resolve, setting_health

GAINS = (0.03, 0.032, 0.028)


def rows_of(hand_made, teacher=0.9, labels=0.8, fitted=0.99, gains=GAINS, failure=None):
    rows = []
    for seed, gain in enumerate(gains):
        of_seed = hand_made(seed)
        marks = {} if failure is None else {"failure": failure}
        rows += [
            of_seed.teacher(test_accuracy=teacher, train_accuracy=1.0, step=70),
            of_seed.student("labels", test_accuracy=labels, train_accuracy=fitted, step=50),
            of_seed.student("offline", 4.0, test_accuracy=labels + gain, **marks),
        ]
    return rows


def health_of(rows, test_examples=10_000, num_classes=2, **settings):
    return setting_health(
        "run", rows, test_examples=test_examples, num_classes=num_classes, rate=0.03,
        teacher_rate=0.05, **settings,
    )  # fmt: skip


def test_a_setting_in_which_something_is_learnt_passes(hand_made):
    health = health_of(rows_of(hand_made))
    assert health.faults == {}
    assert (health.student_updates, health.teacher_updates) == (50, 70)
    assert health.rates == "students: 0.03; teacher: 0.05"
    assert health.accuracy_error == pytest.approx(math.sqrt(0.8 * 0.2 / 10_000))
    assert health.gain_sd == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"teacher": 0.8119}, "teacher"),  # 3 standard errors of 0.4 points are 1.2 points
        ({"fitted": 0.89}, "fit"),
        ({"failure": "its loss never fell"}, "chance"),
        ({"labels": 0.51}, "chance"),  # 51 % of 10,000 in two classes is within 3 of 0.5 points
    ],
)
def test_each_check_has_something_that_it_refuses(hand_made, changes, check):
    assert list(health_of(rows_of(hand_made, **changes)).faults) == [check]


def test_just_enough_passes(hand_made):
    assert health_of(rows_of(hand_made, teacher=0.8121, fitted=0.9)).faults == {}


def test_without_a_student_on_labels_there_is_no_health(hand_made):
    assert health_of([hand_made(0).teacher()]) is None


def test_a_verdict_of_a_setting_that_fails_is_open_and_not_counted(hand_made):
    healths = {
        "good": health_of(rows_of(hand_made)),
        "bad": health_of(rows_of(hand_made, fitted=0.5)),
    }
    found = [
        finding("in the good", GAINS, scale=100, unit=" points", settings=("good",)),
        finding("in the bad", GAINS, scale=100, unit=" points", settings=("bad",)),
        finding("in both", GAINS, scale=100, unit=" points"),
        finding("a theorem", GAINS, by_construction=True),
    ]
    good, bad, both, theorem = gated(found, healths)
    assert (good.open, theorem.open) == ("", "")
    assert "fitted 50.0 %" in bad.open
    assert "fitted 50.0 %" in both.open
    assert verdict_line([good, bad, both, theorem]).startswith("Of 1 hypothesis: 1 seen")
    assert "2 more are open" in verdict_line([good, bad, both])
    varied = gated(found, healths, varied=("fit",))
    assert [each.open for each in varied] == [""] * 4


def test_a_difference_within_the_test_sets_error_is_open(hand_made):
    """0.57 points on 10,000 examples, 4 on 200: what is 3 points is decided on the first alone."""
    judged = finding("better", GAINS, scale=100, unit=" points")
    for examples, is_open in ((10_000, False), (200, True)):
        health = health_of(rows_of(hand_made, teacher=0.999), test_examples=examples)
        (each,) = gated([judged], {"run": health})
        assert (each.verdict, bool(each.open)) == ("seen", is_open)


def test_what_the_seeds_cannot_tell_is_open_and_says_how_many_can(hand_made):
    gains = (0.06, -0.03, 0.02)
    health = health_of(rows_of(hand_made, gains=gains))
    (each,) = gated([finding("better", gains, scale=100, unit=" points")], {"run": health})
    assert each.verdict == "undecided"
    assert each.open == f"3 seeds do not tell 2 points; about {health.seeds_needed} seeds would"
    narrow = (0.002, -0.001, 0.0005)
    (each,) = gated(
        [finding("better", narrow, scale=100, unit=" points")],
        {"run": health_of(rows_of(hand_made, gains=narrow))},
    )
    assert (each.verdict, each.open) == ("undecided", "")  # no difference of 2 points


@pytest.mark.parametrize("sd", [0.001, 0.01, 0.02, 0.1])
def test_seeds_to_resolve_is_the_fewest(sd):
    def half_width(n):
        return stats.t.ppf(0.975, n - 1) * sd / math.sqrt(n)

    n = seeds_to_resolve(sd, 0.02)
    assert half_width(n) <= 0.02 + 1e-12
    assert n == 2 or half_width(n - 1) > 0.02


def test_findings_without_numbers_are_left_alone():
    nothing = Finding("unmeasured", "undecided", "not measured")
    assert gated([nothing], {}) == [nothing]


def test_p_is_that_of_the_t_test():
    values = np.random.default_rng(0).normal(0.5, 1.0, 5)
    expected = stats.ttest_1samp(values, 0.0).pvalue
    assert finding("a", list(values)).p_value == pytest.approx(expected)
    assert finding("a", [1.0, 1.0]).p_value == 0.0
    assert finding("a", [1.0]).p_value is None
