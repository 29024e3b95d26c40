"""The stopping time's study says what rows made by hand say."""

import pytest

from kdtheory.studies.early_stopping import STOPS, analyse, cases, smallest_checkpoint

SEEDS = (0, 1, 2)
TAUS = (1.0, 4.0)
CHECKPOINTS = (10, 20, 40, 70, 100)


@pytest.fixture(name="runs_of")
def runs_of_fixture(hand_made):
    def runs_of(*, adjusted, error, term, accuracy):
        """Rows of all stopping times; each argument gives a value for a time."""
        runs = {}
        for stop in STOPS:
            rows = runs[f"stop-{stop:g}"] = []
            for seed in SEEDS:
                made, shift = hand_made(seed), 1 + 0.01 * seed
                if stop == 1:
                    rows.append(made.student("labels", test_accuracy=0.6, step=100))
                for tau in TAUS:
                    taught = {
                        "test_accuracy": accuracy(stop),
                        "validation_accuracy": accuracy(stop),
                    }
                    rows.append(made.student("offline", tau, step=100, **taught))
                    rows += [
                        made.complexity(
                            "offline", tau, arm="offline", temperature=tau, step=step,
                            final=step == 100, margin=0.5,
                            # Along training the kernels differ: only the first is to be compared.
                            adjusted_complexity=shift * adjusted(stop) if step == 0 else 99.0,
                        )
                        for step in (0, 100)
                    ]  # fmt: skip
                    for name, steps in (("offline", [100 * stop]), ("online", CHECKPOINTS)):
                        for step in steps:
                            if step <= 100 * stop:
                                rows.append(
                                    made.bound(
                                        name, tau, checkpoint_step=round(step),
                                        teacher_error=error(step / 100),
                                        complexity_term=shift * term(step / 100),
                                    )
                                )  # fmt: skip
        return runs

    return runs_of


def theory(part):
    """A minimum of bound and of error at 0.4."""
    return abs(part - 0.4)


@pytest.fixture(name="obeying")
def obeying_fixture(runs_of):
    return runs_of(
        adjusted=lambda part: 1 + part,
        error=lambda part: 0.3 - 0.2 * part,
        term=lambda part: 1 + theory(part) + 0.2 * part,
        accuracy=lambda part: 0.8 - 0.1 * theory(part),
    )


def verdicts(runs):
    return {found.hypothesis: found for found in analyse(runs).findings}


def test_rows_that_obey_agree_with_the_hypotheses(obeying):
    found = verdicts(obeying)
    assert {each.verdict for each in found.values()} == {"seen"}
    chosen = found["offline, τ = 4: the teacher of the smallest bound beats the final one"]
    assert chosen.evidence.endswith("chosen: 0.4, 0.4, 0.4 (by seed)")
    assert len(found) == 2 * (5 + 4 + 2)


def test_rows_that_break_the_theory_contradict_it(runs_of):
    found = verdicts(
        runs_of(
            adjusted=lambda part: 2 - part,
            error=lambda part: 0.1 + 0.2 * part,
            term=lambda part: 3 - 2 * part,
            accuracy=lambda part: 0.7 - 0.1 * (part < 1) + 0.05 * (part == 0.1) - 0.01 * part,
        )
    )
    label = "offline, τ = 4: "
    for hypothesis in (
        "adjusted complexity rises with the stopping time",
        "the bound's teacher error falls with the stopping time",
        "the teacher stopped at 0.4 beats the final one",
    ):
        assert found[label + hypothesis].verdict == "not seen", hypothesis
    # The smallest bound is that of the final teacher in every seed: exact ties contradict nothing.
    for hypothesis in (
        "over all checkpoints the bound is smallest before the end",
        "the teacher of the smallest bound beats the final one",
    ):
        tied = found[label + hypothesis]
        assert (tied.verdict, tied.effect) == ("undecided", 0.0)


def test_a_bound_far_from_the_best_accuracy_is_found_out(runs_of):
    found = verdicts(
        runs_of(
            adjusted=lambda part: part, error=lambda _: 0.1, term=lambda part: part,
            accuracy=lambda part: 0.6 + 0.1 * part,
        )
    )  # fmt: skip
    near = found[
        "offline, τ = 1: the stopping time of the smallest bound is within one step of that of "
        "the best accuracy"
    ]
    assert near.verdict == "not seen"
    assert near.evidence.startswith("lowest at 0.1, 0.1, 0.1, most accurate at 1, 1, 1")
    order = "offline, τ = 1: a smaller bound goes with higher accuracy over the stopping times"
    assert found[order].verdict == "not seen"


def test_tables_take_the_kernel_at_initialisation_and_every_checkpoint(obeying):
    table, minima = analyse(obeying).tables
    at = table.columns["stopping time"].index(0.4)
    assert table.columns["adjusted complexity"][at].mean == pytest.approx(1.4 * 1.01)
    assert minima.columns["stopping time of the smallest bound"][0].mean == pytest.approx(0.4)
    assert minima.columns["time of the smallest bound over all checkpoints"][
        0
    ].mean == pytest.approx(0.4)


def test_the_smallest_checkpoint_is_found_seed_by_seed():
    points = [
        (0.5, [{"seed": 0, "bound": 2.0}, {"seed": 1, "bound": 4.0}]),
        (1.0, [{"seed": 0, "bound": 3.0}, {"seed": 1, "bound": 3.0}]),
    ]
    assert smallest_checkpoint(points) == {0: 0.5, 1: 1.0}


@pytest.mark.parametrize("size", ["smoke", "small", "full"])
def test_a_run_for_each_stopping_time_and_one_teacher_training(size):
    found = cases(size)
    assert [f"stop-{config.teaching.teacher_stop:g}" for config in found.values()] == list(found)
    same = {
        (c.distillation.teacher, c.training, c.teaching.teacher_checkpoints) for c in found.values()
    }
    assert len(same) == 1
    assert [name for name, config in found.items() if "labels" in config.distillation.arms] == [
        "stop-1"
    ]
    assert all(config.measuring.bounds for config in found.values())
