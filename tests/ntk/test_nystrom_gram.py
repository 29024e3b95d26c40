"""The Nystrom kernel lies below the exact one, and says by how much."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.ntk import gram, nystrom_gram, operator


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.tanh(nn.Dense(9)(x)))


@pytest.fixture(scope="module")
def problem():
    x = np.random.default_rng(0).normal(size=(12, 5))
    return Net().apply, Net().init(jax.random.key(0), x.astype(np.float32)), x


@pytest.mark.parametrize("outputs", ["full", "sum"])
@pytest.mark.parametrize("selection", ["residual", "uniform"])
def test_the_error_is_positive_semidefinite_and_stated_exactly(problem, outputs, selection):
    exact = gram(*problem, outputs=outputs, dtype="float64")
    found = nystrom_gram(
        *problem, landmarks=4, key=jax.random.key(1), outputs=outputs, selection=selection,
        probes=64, dtype="float64",
    )  # fmt: skip
    error = exact - found.gram
    scale = np.trace(exact)
    eigenvalues = np.linalg.eigvalsh(error)
    assert eigenvalues.min() > -1e-10 * scale
    np.testing.assert_allclose(found.trace_error, np.abs(eigenvalues).sum(), rtol=1e-8)
    np.testing.assert_allclose(found.relative_trace_error, found.trace_error / scale, rtol=1e-12)
    np.testing.assert_allclose(found.residual, np.diag(error), atol=1e-10 * scale)
    bound = np.sqrt(np.outer(found.residual, found.residual))
    assert (np.abs(error) <= bound + 1e-9 * scale).all()
    truth, stated = np.linalg.norm(error), found.frobenius_error
    assert truth <= found.trace_error
    assert 0 < stated.standard_error < 0.3 * truth
    assert abs(stated.value - truth) < 4 * stated.standard_error


@pytest.mark.parametrize("selection", ["residual", "uniform"])
def test_rows_of_landmarks_are_exact(problem, selection):
    exact = gram(*problem, dtype="float64")
    found = nystrom_gram(
        *problem, landmarks=5, key=jax.random.key(2), selection=selection, dtype="float64"
    )
    assert len(set(found.landmarks.tolist())) == 5
    rows = (found.landmarks[:, None] * 2 + np.arange(2)).ravel()
    np.testing.assert_allclose(found.gram[rows], exact[rows], atol=1e-9 * np.trace(exact))


def test_the_rounds_together_are_the_nystrom_formula(problem):
    """Landmarks chosen one after another give K(x, z) K(z, z)^+ K(z, x) of all of them."""
    exact = gram(*problem, dtype="float64")
    found = nystrom_gram(
        *problem, landmarks=5, rounds=3, key=jax.random.key(2), dtype="float64", probes=0
    )
    rows = (found.landmarks[:, None] * 2 + np.arange(2)).ravel()
    direct = exact[:, rows] @ np.linalg.pinv(exact[np.ix_(rows, rows)], 1e-13) @ exact[rows]
    np.testing.assert_allclose(found.gram, direct, atol=1e-8 * np.trace(exact))
    assert found.frobenius_error is None


@pytest.mark.parametrize("selection", ["residual", "uniform"])
def test_all_landmarks_are_exact(problem, selection):
    exact = gram(*problem, dtype="float64")
    found = nystrom_gram(
        *problem, landmarks=12, key=jax.random.key(0), selection=selection, dtype="float64"
    )
    np.testing.assert_allclose(found.gram, exact, atol=1e-10 * np.trace(exact))
    assert found.relative_trace_error < 1e-10


def test_residual_selection_stops_where_nothing_is_left():
    """A linear model without bias: rank 3, whatever the number of examples."""
    model, x = nn.Dense(1, use_bias=False), np.random.default_rng(0).normal(size=(20, 3))
    variables = model.init(jax.random.key(0), x.astype(np.float32))
    found = nystrom_gram(
        model.apply, variables, x, landmarks=20, rounds=20, key=jax.random.key(0), dtype="float64"
    )
    assert found.factor.shape == (20, 3)
    assert len(found.landmarks) == 3
    np.testing.assert_allclose(found.gram, x @ x.T, atol=1e-10)


def test_residual_selection_finds_the_few_that_matter():
    """Two examples carry all of the trace: uniform landmarks miss them, residual ones do not."""
    x = np.full((60, 40), 1e-3)
    x[np.arange(60), np.arange(60) % 40] += 1e-3
    x[7, 3], x[31, 20] = 50.0, 80.0
    model = nn.Dense(1, use_bias=False)
    variables = model.init(jax.random.key(0), x.astype(np.float32))
    errors = {
        selection: [
            nystrom_gram(
                model.apply, variables, x, landmarks=4, key=jax.random.key(seed),
                selection=selection, probes=0, dtype="float64",
            ).relative_trace_error
            for seed in range(5)
        ]
        for selection in ("residual", "uniform")
    }  # fmt: skip
    assert max(errors["residual"]) < 1e-3 < np.median(errors["uniform"])


def test_the_same_key_gives_the_same_landmarks(problem):
    first, again, other = (
        nystrom_gram(*problem, landmarks=4, key=jax.random.key(seed), probes=0).landmarks.tolist()
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_float32_entries_give_a_float64_factor(problem):
    found = nystrom_gram(*problem, landmarks=12, key=jax.random.key(0))
    assert found.factor.dtype == np.float64
    assert found.relative_trace_error < 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outputs": "trace"}, "unknown outputs 'trace'; known: full, sum"),
        ({"selection": "greedy"}, "unknown selection 'greedy'; known: residual, uniform"),
        ({"landmarks": 13}, "landmarks must be between 1 and the 12 examples; got 13"),
        ({"rounds": 0}, "rounds must be at least 1; got 0"),
        ({"probes": 1}, "probes must be 0, or at least 2"),
    ],
)
def test_bad_settings_get_one_clear_line(problem, settings, message):
    with pytest.raises(InputError, match=message):
        nystrom_gram(*problem, **{"landmarks": 3, "key": jax.random.key(0), **settings})


def test_the_frobenius_error_may_be_asked_for_later(problem):
    found = nystrom_gram(*problem, landmarks=4, key=jax.random.key(1), probes=0, dtype="float64")
    kernel = operator(*problem, dtype="float64")
    stated = found.estimate_frobenius_error(kernel, jax.random.key(0), probes=64)
    truth = np.linalg.norm(gram(*problem, dtype="float64") - found.gram)
    assert abs(stated.value - truth) < 4 * stated.standard_error
    with pytest.raises(InputError, match="probes must be at least 2"):
        found.estimate_frobenius_error(kernel, jax.random.key(0), probes=1)
    with pytest.raises(InputError, match="shape"):
        found.estimate_frobenius_error(operator(*problem[:2], problem[2][:5]), jax.random.key(0))
