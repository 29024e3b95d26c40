import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.errors import InputError
from kdtheory.statistics.findings import (
    against_theory,
    corrected_by_holm,
    finding,
    judge,
    marked_verdict,
    verdict_line,
)
from kdtheory.statistics.hypotheses import findings


def by_hypothesis(rows):
    return {finding.hypothesis: finding for finding in findings(rows)}


def test_the_verdicts_follow_the_data(make_rows):
    found = by_hypothesis(make_rows())
    assert found["random labels are more complex than labels"].verdict == "seen"
    assert found["labels are more complex than offline, τ = 4"].verdict == "seen"
    assert found["offline, τ = 1 is at least as complex as online, τ = 1"].verdict == "seen"
    assert found["online, τ = 1 is more complex than online, τ = 4"].verdict == "seen"
    assert found["less complex own supervision goes with higher test accuracy"].verdict == "seen"


def test_accuracies_are_judged_by_their_paired_differences(make_rows):
    for better, worse in (("online", "offline"), ("matched", "online")):
        check_paired_accuracies(make_rows, better, worse)


def check_paired_accuracies(make_rows, better, worse):
    hypothesis = f"{better}, τ = 1 is more accurate than {worse}, τ = 1"
    for gains, verdict in (
        ((0.02, 0.021, 0.019), "seen"),
        ((0.02, -0.01, 0.005), "undecided"),
        ((-0.02, -0.021, -0.019), "not seen"),
    ):
        rows = make_rows(points=2, complexity=False, arms=((better, 1.0), (worse, 1.0)))
        for row in rows:
            if row["kind"] == "student":
                gain = gains[row["seed"]] if row["arm"] == better else 0.0
                row["test_accuracy"] = 0.5 + 0.1 * row["seed"] + gain
        finding = by_hypothesis(rows)[hypothesis]
        assert finding.verdict == verdict
        assert finding.effect == pytest.approx(sum(gains) / 3)


def test_the_opposite_data_give_the_opposite_verdicts(make_rows):
    rows = make_rows()
    for row in rows:
        if row["kind"] == "complexity":
            row["adjusted_complexity"] = 10 - row["adjusted_complexity"]
        if row["kind"] == "student":
            row["test_accuracy"] = 1 - row["test_accuracy"]
    before, after = by_hypothesis(make_rows()), by_hypothesis(rows)
    opposite = {"seen": "not seen", "not seen": "seen", "undecided": "undecided"}
    for hypothesis, each in before.items():
        if "less complex" in hypothesis:  # both quantities are turned over
            assert after[hypothesis].verdict == each.verdict
        else:
            assert after[hypothesis].verdict == opposite[each.verdict], hypothesis
            assert after[hypothesis].effect == pytest.approx(-each.effect)
    assert "random labels are more complex than labels" in [
        finding.hypothesis for finding in against_theory(findings(rows))
    ]


def test_one_seed_decides_nothing(make_rows):
    found = findings(make_rows(seeds=(4,)))
    assert len(found) == 16
    assert {finding.verdict for finding in found} == {"undecided"}
    assert {finding.half_width for finding in found} == {None}
    assert all("one seed" in finding.evidence for finding in found)


def test_the_number_of_values_is_not_that_of_seeds(make_rows):
    rows = make_rows(seeds=(0, 1))
    for row in rows:  # equal accuracies have no rank: seed 1 has no correlation over the arms
        if row["kind"] == "student" and row["seed"] == 1:
            row["test_accuracy"] = 0.5
    found = [each for each in findings(rows) if each.topic == "over the arms"]
    assert found
    assert all(each.evidence.endswith("(one of 2 seeds)") for each in found)
    assert finding("x", [1.0]).evidence == "+1 (one value)"
    assert finding("x", [1.0, 2.0]).evidence.endswith("(95 %, 2 values)")


def test_differences_are_paired_over_seeds(make_rows):
    rows = make_rows(complexity=False, noise=0.0)
    # Seeds differ by far more than the arms, and each seed has the same order of arms.
    for row in rows:
        if row["kind"] == "student":
            row["test_accuracy"] = row["test_accuracy"] / 4 + 0.2 * row["seed"]
    finding = by_hypothesis(rows)["online, τ = 4 is more accurate than offline, τ = 4"]
    assert finding.verdict == "seen"
    assert finding.seeds == 3


def test_only_common_steps_and_finished_seeds_are_compared(make_rows):
    rows = make_rows(noise=0.0)
    hypothesis = "random labels are more complex than labels"
    effect = by_hypothesis(rows)[hypothesis].effect
    absurd = [
        {**row, "seed": 9, "final": False, "adjusted_complexity": -1e9}
        for row in rows
        if row["kind"] == "complexity" and row["supervision"] == "random_labels"
    ]
    alone = {
        **next(row for row in absurd if row["arm"] == "labels"),
        "seed": 0,
        "step": 7,
    }
    assert by_hypothesis([*rows, *absurd, alone])[hypothesis].effect == pytest.approx(effect)


def test_without_a_student_on_labels_the_first_measured_arm_is_the_reference(make_rows):
    found = findings(make_rows(arms=(("offline", 4.0), ("online", 4.0))))
    ordered = [finding for finding in found if finding.topic == "complexity order"]
    assert ordered
    assert all("trained on offline, τ = 4" in finding.evidence for finding in ordered)


def test_what_was_not_measured_gives_no_finding(make_rows):
    rows = make_rows(complexity=False)
    for row in rows:
        row["ntk_similarity"] = None
        row["train_fidelity"] = None
    assert {finding.topic for finding in findings(rows)} == {"accuracy"}
    assert findings([row for row in rows if row["kind"] == "teacher"]) == []


def test_each_run_group_has_its_own_findings(make_rows):
    both = findings([*make_rows(), *make_rows(task="even_odd", seeds=(5, 6))])
    assert [f for f in both if f.group.task == "ten"] == findings(make_rows())
    assert {f.seeds for f in both if f.group.task == "even_odd"} == {2}


def test_arms_of_several_alphas_are_refused(make_rows):
    rows = make_rows(seeds=(0,), points=1)
    rows += [{**row, "seed": 1, "alpha": 0.5} for row in rows if row["kind"] == "student"]
    with pytest.raises(InputError, match=r"several alphas \(0.5, 1.0\)"):
        findings(rows)


def test_the_interval_is_students():
    # The table value t(0.975; 2) = 4.303, for [1, 2, 3]: sd 1, so half-width 4.303 / sqrt(3).
    verdict, mean, half_width = judge([1.0, 2.0, 3.0])
    assert (verdict, mean) == ("undecided", 2.0)
    assert half_width == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)


def test_equality_agrees_with_at_least_and_contradicts_more():
    assert judge([0.0, 0.0], equal_agrees=True)[0] == "seen"
    assert judge([0.0, 0.0])[0] == "undecided"


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6))
def test_a_verdict_turns_with_the_sign(values):
    verdict = judge(values)[0]
    turned = judge([-value for value in values])[0]
    if any(values):
        assert turned == {"seen": "not seen", "not seen": "seen"}.get(verdict, "undecided")


def test_differences_that_are_all_exactly_zero_contradict_nothing():
    assert judge([0.0, 0.0])[0] == "undecided"
    assert judge([-1.0, -1.0])[0] == "not seen"


def test_what_holds_by_construction_is_told_and_not_counted():
    by_construction = finding("a theorem", [1.0, 1.1, 0.9], by_construction=True)
    assert marked_verdict(by_construction) == "seen (by construction)"
    assert verdict_line([by_construction]).startswith("The rows hold no measurements")
    counted = verdict_line([by_construction, finding("a guess", [-1.0, -1.1, -0.9])])
    assert counted.startswith("Of 1 hypothesis: 0 seen, 1 not seen, 0 undecided.")


@given(st.lists(st.floats(0.01, 5.0), min_size=1, max_size=8))
def test_holm_decides_what_its_definition_does(effects):
    found = corrected_by_holm(
        [finding(str(i), [e - 0.1, e, e + 0.1]) for i, e in enumerate(effects)]
    )
    p_values = [each.p_value for each in found]
    for each, p in zip(found, p_values, strict=True):
        # The adjusted p of the one: over all that are no larger, the largest (m - rank) p.
        smaller = sorted(other for other in p_values if other <= p)
        adjusted = max((len(effects) - rank) * other for rank, other in enumerate(smaller))
        assert each.corrected == (each.verdict if adjusted <= 0.05 else "undecided")


def test_holm_leaves_out_what_is_not_counted():
    theorem = finding("a theorem", [1.0, 1.1, 0.9], by_construction=True)
    shut = finding("open", [1.0, 1.1, 0.9])._replace(open="nothing is learnt")
    alone = finding("alone", [1.0, 1.6, 0.9])
    found = corrected_by_holm([theorem, shut, alone])
    assert [each.corrected for each in found] == [None, None, "seen"]
    assert marked_verdict(shut) == "open: setting"
    assert against_theory([shut._replace(verdict="not seen")]) == []
