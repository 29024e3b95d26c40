"""Arms whose quantities and accuracies are given: the study finds which of them rank the arms."""

import pytest

from kdtheory.report.figures import render
from kdtheory.rows import checked_row
from kdtheory.statistics.correlations import partial_rank_correlation
from kdtheory.studies import find_study
from kdtheory.studies.predictors import PREDICTORS, analyse, interval, ranking

ARMS = [("labels", None), ("offline", 1.0), ("offline", 4.0), ("online", 4.0), ("self", 1.0)]
BY_NAME = {predictor.name: predictor for predictor in PREDICTORS}


def certificate(common, arm, supervision, **values):
    row = {
        **common, "kind": "certificate", "step": 10, "epoch": 1.0, "final": True,
        "arm": arm[0], "temperature": arm[1], "supervision": supervision[0],
        "supervision_temperature": supervision[1], "checkpoint_step": None, "n": 8,
        "held_out_half": 0.9, "margin_bound": 2.0, "test_error": 0.2, "certified_test_error": 0.3,
        "num_test": 9, "delta": 0.05, "validity": "certificate", "premises": "none", **values,
    }  # fmt: skip
    return checked_row(row)


@pytest.fixture
def rows_of(hand_made):
    def rows(seeds=3, **fixed):
        """Test accuracy rises over the arms; own complexity too, while that of labels falls."""
        made = []
        for seed in range(seeds):
            one = hand_made(seed)
            for number, arm in enumerate(ARMS):
                values = {
                    "test_accuracy": 0.5 + 0.01 * number,
                    "train_accuracy": 0.9 - 0.01 * (number % 2),
                    "train_fidelity": 0.9,
                }
                made.append(one.student(*arm, **{**values, **fixed}))
                on = {"arm": arm[0], "temperature": arm[1]}
                for step, final in ((0, False), (10, True)):
                    at = {**on, "step": step, "final": final}
                    own = {"adjusted_complexity": 1.0 + number, "margin": 0.5 - 0.2 * number}
                    if arm != ("labels", None):
                        made.append(one.complexity(*arm, **at, **own))
                    made.append(
                        one.complexity("labels", **at, adjusted_complexity=0.9 - 0.1 * number)
                    )
                shown = ("offline", arm[1]) if arm[0] == "online" else arm
                for supervision in dict.fromkeys((("labels", None), shown)):
                    made.append(
                        certificate(
                            one.common, arm, supervision, certificate=0.9 - 0.1 * number,
                            prequential_error=0.4 - 0.01 * number, leave_one_out_error=0.25,
                            alignment=0.1 * number,
                        )
                    )  # fmt: skip
        return made

    return rows


def test_the_sign_is_the_predicted_one(rows_of):
    rows = rows_of()
    of_labels = ranking(rows, BY_NAME["complexity of true labels"])
    assert of_labels.correlation == pytest.approx(dict.fromkeys(range(3), 1.0))
    assert of_labels.lost == pytest.approx(dict.fromkeys(range(3), 0.0))
    own = ranking(rows, BY_NAME["complexity of own targets"])
    assert own.correlation[0] == pytest.approx(-1.0)
    assert own.lost[0] == pytest.approx(0.04)


def test_an_online_students_certificate_is_that_of_the_final_teacher(rows_of):
    for name in ("certificate, own targets", "prequential error, own targets",
                 "centred alignment with true labels"):  # fmt: skip
        found = ranking(rows_of(), BY_NAME[name])
        assert found.correlation == pytest.approx(dict.fromkeys(range(3), 1.0))


def test_what_is_the_same_for_all_arms_ranks_nothing(rows_of):
    found = ranking(rows_of(), BY_NAME["train fidelity"])
    assert found.correlation == dict.fromkeys(range(3), 0.0)
    # The first of equals would be chance: their mean it is.
    assert found.lost[0] == pytest.approx(0.02)
    assert ranking(rows_of(test_accuracy=0.5), BY_NAME["train fidelity"]).correlation == {}


def test_a_margin_that_is_not_above_zero_puts_an_arm_last(rows_of):
    found = ranking(rows_of(), BY_NAME["complexity of own targets over margin"])
    assert found.correlation[0] == pytest.approx(-1.0, abs=0.2)


def test_given_train_accuracy(rows_of):
    assert ranking(rows_of(), BY_NAME["train accuracy"]).partial == {}
    constant = ranking(rows_of(train_accuracy=1.0), BY_NAME["complexity of true labels"])
    assert constant.partial == constant.correlation
    # The first and second quantity agree wherever the third does.
    agree = [(1.0, 1.0, 1.0), (2.0, 2.0, 1.0), (1.0, 1.0, 2.0), (2.0, 2.0, 2.0)]
    assert partial_rank_correlation(agree) == 1.0
    assert partial_rank_correlation([(float(i), float(i), float(i)) for i in range(4)]) is None


def test_the_interval_draws_runs_and_seeds():
    assert interval([{0: 1.0}]) == (None, None)
    assert interval([{0: 1.0, 1: 1.0}, {0: 1.0}]) == (1.0, 1.0)
    low, high = interval([{0: 1.0}, {0: -1.0}, {}])
    assert (low, high) == (-1.0, 1.0)
    low, high = interval([{0: 1.0, 1: 0.0}, {0: 1.0, 1: 0.0}])
    assert 0 <= low < 0.5 < high <= 1


def test_tables_figure_and_findings(rows_of):
    found = analyse({"a": rows_of(), "b": rows_of()})
    table, by_run = found.tables
    assert table.columns["quantity"][0] in (
        "complexity of true labels", "certificate, own targets", "prequential error, own targets",
        "prequential error, true labels", "centred alignment with true labels",
    )  # fmt: skip
    assert len(table.columns["quantity"]) == len(PREDICTORS)
    assert set(by_run.columns) == {"quantity", "a", "b"}
    verdicts = {each.hypothesis: each.verdict for each in found.findings}
    assert verdicts["complexity of true labels ranks the arms"] == "seen"
    assert verdicts["complexity of own targets ranks the arms"] == "not seen"
    better = "complexity of true labels ranks the arms better than complexity of own targets"
    assert verdicts[better] == "seen"
    assert render(found.figures[0].figure, "png").startswith(b"\x89PNG")


def test_the_small_runs_are_two_students_on_four_tasks():
    cases = find_study("predictors").cases("small")
    assert len({(c.data.dataset, c.data.task) for c in cases.values()}) == 4
    assert len({c.distillation.student for c in cases.values()}) == 2
    assert all(c.measuring.certify for c in cases.values())
