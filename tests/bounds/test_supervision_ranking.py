"""Ranking supervisions: against refitting, its intervals, and what is refused."""

import numpy as np
import pytest

from kdtheory.bounds.supervision_ranking import rank_supervisions
from kdtheory.complexity import factorize
from kdtheory.errors import InputError

RIDGES = (0.01, 1.0)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    kernel = np.exp(-((x[:, None] - x[None]) ** 2).sum(axis=2) / 8)
    labels = np.argmax(x[:, :3], axis=1)
    onehot = np.eye(3)[labels]
    soft = np.exp(x[:, :3]) / np.exp(x[:, :3]).sum(axis=1, keepdims=True)
    noise = np.eye(3)[rng.integers(0, 3, 60)]
    return kernel, np.stack([noise, onehot, soft]), labels


def test_errors_are_those_of_refitting(problem):
    kernel, targets, labels = problem
    factors = [factorize(kernel, ridge=ridge) for ridge in RIDGES]
    found = rank_supervisions(factors, targets, labels, scored=0.5)
    for index, y in enumerate(targets):
        wrong = np.ones((2, 60), dtype=bool)
        left_out = np.ones((2, 60), dtype=bool)
        for row, ridge in enumerate(RIDGES):
            for i in range(60):
                others = np.delete(np.arange(60), i)
                for past, into in ((np.arange(i), wrong), (others, left_out)):
                    if len(past):
                        inner = kernel[np.ix_(past, past)] + ridge * np.eye(len(past))
                        f = kernel[i, past] @ np.linalg.solve(inner, y[past])
                        into[row, i] = np.argmax(f) != labels[i]
        scored = []
        for i in range(30, 60):
            scored.append(wrong[np.argmin(wrong[:, :i].sum(axis=1)), i])
        assert found.error[index] == pytest.approx(np.mean(scored))
        assert found.leave_one_out[index] == pytest.approx(left_out.mean(axis=1).min())
    assert found.order[-1] == 0
    assert found.num_scored == 30


def test_differences_are_paired(problem):
    kernel, targets, labels = problem
    factors = [factorize(kernel, ridge=1.0)]
    found = rank_supervisions(factors, np.concatenate([targets, targets[1:2]]), labels)
    first = found.order[0]
    np.testing.assert_allclose(found.behind, found.error - found.error[first])
    assert found.behind_low[first] == found.behind_high[first] == 0
    # The same targets twice are level, with no deviation between them.
    assert found.error[1] == found.error[3]
    assert found.level[first]
    assert not found.level[0]
    assert (found.low <= found.error).all()
    assert (found.error <= found.high).all()


def test_one_output_counts_ties_as_errors():
    found = rank_supervisions(
        [factorize(np.eye(4), ridge=1.0)], np.zeros((1, 4, 1)), np.array([0, 1, 1, 0])
    )
    assert found.error.tolist() == [1.0]


@pytest.mark.parametrize(
    ("targets", "scored", "message"),
    [
        (np.zeros((1, 3, 1)), 0.5, "targets must have shape"),
        (np.zeros((1, 4, 1)), 0.0, "scored must be in"),
    ],
)
def test_what_does_not_fit_is_one_line(targets, scored, message):
    with pytest.raises(InputError, match=message):
        rank_supervisions(
            [factorize(np.eye(4), ridge=1.0)],
            targets,
            np.zeros(targets.shape[1], int),
            scored=scored,
        )
