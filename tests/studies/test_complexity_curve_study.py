"""The curves' study says what rows made by hand say."""

import pytest

from kdtheory.runs.config import RunConfig
from kdtheory.studies.complexity_curve import COMPLEXITY_CURVE, analyse, cases

STEPS = (0, 10, 20)

# Adjusted complexity at the three points, such as the theory predicts it.
CURVES = {
    ("random_labels", None): (3.0, 3.1, 3.2),
    ("labels", None): (2.5, 2.2, 2.0),
    ("offline", 1.0): (1.5, 1.4, 1.4),
    ("offline", 4.0): (0.6, 0.5, 0.5),
    ("online", 1.0): (0.9, 1.1, 1.4),
    ("online", 4.0): (0.2, 0.3, 0.5),
}


@pytest.fixture(name="rows_of")
def rows_of_fixture(hand_made):
    def rows_of(curves, seeds=(0, 1, 2), rms=1.0):
        rows = []
        for seed in seeds:
            made = hand_made(seed)
            for place, step in enumerate(STEPS):
                point = {"step": step, "epoch": step / 10, "final": step == STEPS[-1]}
                rows.append(made.student("labels", **point))
                rows += [
                    made.complexity(
                        name,
                        tau,
                        **point,
                        adjusted_complexity=curve[place] * (1 + 0.01 * seed),
                        target_rms=rms,
                    )
                    for (name, tau), curve in curves.items()
                ]
        return rows

    return rows_of


def unseen(curves):
    return {**curves, ("labels", None): (2.5, 2.4, 2.3)}


def verdicts(analysis):
    return {found.hypothesis: found.verdict for found in analysis.findings}


def test_rows_that_obey_the_theory_agree_with_every_hypothesis(rows_of):
    analysis = analyse({"train": rows_of(CURVES), "test": rows_of(unseen(CURVES))})
    found = verdicts(analysis)
    assert set(found.values()) == {"seen"}
    assert len(found) == 2 * (2 * (1 + 2 + 2 + 2) + 4 + 2) + 1
    assert [figure.name for figure in analysis.figures] == ["complexity_train", "complexity_test"]


def test_the_table_holds_the_points_and_their_mean(rows_of):
    (table,) = analyse({"train": rows_of(CURVES, seeds=(0,))}).tables
    at = table.columns["supervision"].index("online, τ = 1")
    values = [
        table.columns[header][at].mean
        for header in ("at initialisation", "half-way", "at the end", "mean over points")
    ]
    assert values == pytest.approx([0.9, 1.1, 1.4, 3.4 / 3])
    assert len(table.columns["supervision"]) == len(CURVES)


def test_rows_that_break_the_theory_contradict_it(rows_of):
    turned = {key: tuple(0.9 - 0.1 * value for value in curve) for key, curve in CURVES.items()}
    turned["online", 1.0] = (0.79, 0.85, 1.2)
    found = verdicts(analyse({"train": rows_of(turned), "test": rows_of(turned)}))
    for hypothesis in (
        "train: adjusted: random labels are more complex than labels",
        "train: adjusted: labels are more complex than offline, τ = 1",
        "train: adjusted: offline, τ = 4 is at least as complex as online, τ = 4",
        "train: adjusted: offline, τ = 1 is more complex than offline, τ = 4",
        "test: online, τ = 1 meets offline at the end (their difference there is below 0.1 of its "
        "mean along training)",
        "test: online, τ = 1 nears offline (the mean difference is smaller in the second half of "
        "training than in the first)",
        "train: the kernel aligns with the labels (their complexity on the student trained on "
        "labels is lower at the end than at initialisation)",
        "train: root mean square over the points of the random labels' adjusted complexity above 1",
    ):
        assert found[hypothesis] == "not seen", hypothesis
    # The same on both: exactly equal, which contradicts nothing.
    unseen = "at the end the labels are more complex on unseen examples than on training examples"
    assert found[unseen] == "undecided"


@pytest.mark.parametrize("size", ["smoke", "small", "full"])
def test_a_run_on_training_examples_and_one_on_unseen_ones(size):
    found = cases(size)
    assert all(isinstance(config, RunConfig) for config in found.values())
    assert [config.measuring.ntk_split for config in found.values()] == ["train", "test"]
    # One teacher for both: what they train it on is the same.
    assert len({(c.distillation.teacher, c.training, c.data) for c in found.values()}) == 1


def test_the_paper_sizes():
    full = cases("full")["train"]
    d, m = full.distillation, full.measuring
    assert (d.teacher, d.student, m.ntk_size, m.points) == (
        "resnet56", "lenet5x8", 4096, 11,
    )  # fmt: skip
    assert set(COMPLEXITY_CURVE.costs) == {"smoke", "small", "full"}
