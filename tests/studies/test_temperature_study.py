"""The temperature's study says what rows made by hand say."""

import math

import pytest

from kdtheory.studies.temperature import TEMPERATURES, analyse, cases

SEEDS = (0, 1, 2)


@pytest.fixture(name="rows_of")
def rows_of_fixture(hand_made):
    def rows_of(*, adjusted, margin, bound, accuracy):
        """Rows of all temperatures; each argument gives a value for a temperature."""
        rows = []
        for seed in SEEDS:
            made = hand_made(seed)
            shift = 1 + 0.01 * seed
            rows += [made.teacher(), made.student("labels", test_accuracy=0.6)]
            for tau in TEMPERATURES:
                for name in ("offline", "online"):
                    rows.append(made.student(name, tau, test_accuracy=accuracy(tau) - 0.002 * seed))
                    rows.append(
                        made.complexity(
                            name, tau, adjusted_complexity=shift * adjusted(tau),
                            margin=shift * margin(tau), target_rms=shift * margin(tau),
                        )
                    )  # fmt: skip
                rows.append(made.bound("offline", tau, complexity_term=bound(tau) * shift))
                for step, part in ((10, 0.9), (20, 0.5), (30, 1.0)):
                    term = shift * part * bound(tau)
                    rows.append(
                        made.bound("online", tau, checkpoint_step=step, complexity_term=term)
                    )
        return rows

    return rows_of


def theory(tau):
    """Half-way between hard decisions and logits: falls, and levels off."""
    return 0.5 + 1 / tau


def verdicts(analysis):
    return {found.hypothesis: found for found in analysis.findings}


def test_rows_that_obey_agree_with_every_hypothesis(rows_of):
    obeying = rows_of(
        adjusted=lambda tau: theory(tau) / tau,
        margin=lambda tau: 1 / tau,
        bound=lambda tau: 1 + abs(math.log2(tau / 8)),
        accuracy=lambda tau: 0.7 - 0.02 * abs(math.log2(tau / 8.5)),
    )
    found = verdicts(analyse({"temperatures": obeying}))
    assert len(found) == 2 * (9 + 4)
    assert {each.verdict for each in found.values()} == {"seen"}, found
    near = found[
        "offline: the τ of the smallest bound is within one step of that of the best accuracy"
    ]
    assert near.evidence.startswith("lowest at 8, 8, 8, most accurate at 8, 8, 8")


def test_rows_that_break_the_theory_contradict_it(rows_of):
    breaking = rows_of(
        adjusted=lambda tau: 2**tau,
        margin=lambda tau: 1 + tau,
        bound=lambda tau: 1 + math.log2(32 / tau),
        accuracy=lambda tau: 0.7 - 0.02 * math.log2(tau),
    )
    found = verdicts(analyse({"temperatures": breaking}))
    levelling = "offline: complexity / margin changes by less at the last step of τ than the first"
    ratio = (
        "offline: the τ of the smallest complexity / margin is within one step of that of the "
        "best accuracy"
    )
    for hypothesis, each in found.items():
        if hypothesis.startswith("offline") and hypothesis != ratio:
            assert each.verdict == "not seen", hypothesis
    assert levelling in found
    assert found[ratio].verdict == "seen"  # both at tau = 1
    distance = found[
        "offline: the τ of the smallest bound is within one step of that of the best accuracy"
    ]
    assert distance.evidence.endswith("mean absolute difference 4 in log2, 4 steps")


def test_the_table_takes_the_best_checkpoint_of_the_online_teacher(rows_of):
    rows = rows_of(
        adjusted=lambda tau: 1 / tau, margin=lambda tau: 1 / tau, bound=lambda _: 2.0,
        accuracy=lambda _: 0.7,
    )  # fmt: skip
    table, minima = analyse({"temperatures": rows}).tables
    line = table.columns["arm"].index("online, τ = 8")
    assert table.columns["complexity term"][line].mean == pytest.approx(1.0 * 1.01)
    assert table.columns["adjusted / margin"][line].mean == pytest.approx(1.0)
    assert table.columns["adjusted / rms"][line].mean == pytest.approx(1.0)
    assert table.columns["bound"][line].mean == pytest.approx(
        sum(
            table.columns[header][line].mean
            for header in ("teacher's error", "margin loss", "complexity term", "confidence term")
        )
    )
    assert minima.columns["students"] == ["offline", "online"]


@pytest.mark.parametrize("size", ["smoke", "small", "full"])
def test_one_run_with_bounds_and_several_temperatures(size):
    (config,) = cases(size).values()
    assert config.measuring.bounds
    assert len(config.distillation.temperatures) >= 3
    assert config.distillation.arms[:2] == ("labels", "offline")


def test_a_run_without_online_students_is_analysed_by_its_offline_ones(rows_of):
    rows = rows_of(
        adjusted=lambda tau: 1 / tau, margin=lambda tau: 1 / tau,
        bound=lambda tau: tau, accuracy=lambda tau: 0.5,
    )  # fmt: skip
    offline = [row for row in rows if row.get("arm") != "online"]
    analysis = analyse({"temperatures": offline})
    assert analysis.tables[1].columns["students"] == ["offline"]
    assert not any(found.hypothesis.startswith("online") for found in analysis.findings)
