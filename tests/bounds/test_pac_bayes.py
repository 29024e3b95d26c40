import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln, ndtr, xlogy

from kdtheory.bounds import (
    margin_bound,
    multiclass_margin_bound,
    multiclass_pac_bayes_bound,
    pac_bayes_bound,
)
from kdtheory.bounds.pac_bayes import bernoulli_kl, inverse_kl
from kdtheory.errors import InputError


def one_inverse(error, budget):
    return inverse_kl(np.array([error]), np.array([budget])).item()


def one_kl(q, p):
    return bernoulli_kl(np.array([q]), np.array([p])).item()


@given(st.floats(0, 1), st.floats(0, 3))
def test_inverse_kl_is_the_largest_probability_within_the_budget(error, budget):
    p = one_inverse(error, budget)
    assert error <= p <= 1
    if p < 1 - 1e-6:
        assert one_kl(error, p) >= budget * (1 - 1e-9) - 1e-12
        assert one_kl(error, max(p - 1e-6, error)) <= budget


def test_terms_by_hand():
    margins, diagonal = np.array([1.0, -0.5]), np.array([1.0, 0.25])
    terms = pac_bayes_bound(
        margins, diagonal, squared_norm=2.0, scales=0.5, offsets=(0.0,), delta=0.1,
        kernel_depends_on_sample=True,
    )  # fmt: skip
    # Phi(-2) and Phi(2)
    assert terms.gibbs_error == pytest.approx(0.5)
    assert terms.kl == pytest.approx(4)
    budget = (4 + np.log(2 * np.sqrt(2) / 0.1)) / 2
    assert terms.gibbs_bound == pytest.approx(one_inverse(0.5, budget))
    assert terms.bound == 2 * terms.gibbs_bound
    assert terms.offset == 0
    assert terms.validity == "diagnostic"


def test_an_offset_takes_the_place_of_the_factor_2_and_is_paid_for():
    margins, diagonal = np.full(500, 6.0), np.ones(500)
    options = {"squared_norm": 4.0, "scales": 1.0, "delta": 0.1, "kernel_depends_on_sample": False}
    terms = pac_bayes_bound(margins, diagonal, offsets=(0.0, 1.0), **options)
    budget = (2 + np.log(2 * 2 * np.sqrt(500) / 0.1)) / 500
    assert terms.bound == pytest.approx(one_inverse(ndtr(1 - 6.0), budget) / ndtr(1.0))
    assert terms.gibbs_bound == pytest.approx(one_inverse(ndtr(-6.0), budget))
    assert terms.bound < 2 * terms.gibbs_bound
    assert terms.offset == 1
    # The randomised predictor's own offset, 0, is paid for where it is not in the grid too.
    alone = pac_bayes_bound(margins, diagonal, offsets=(1.0,), **options)
    assert alone.bound == terms.bound
    with pytest.raises(InputError, match="offsets must be one or several finite numbers >= 0"):
        pac_bayes_bound(margins, diagonal, offsets=(-1.0,), **options)


def test_gibbs_error_is_the_error_of_draws_from_the_posterior():
    """Linear kernel: the posterior is a Gaussian about w, of covariance scale^2 I."""
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(30, 3)), np.sign(rng.normal(size=30)), rng.normal(size=3)
    terms = pac_bayes_bound(
        y * (x @ w), (x**2).sum(axis=1), squared_norm=float(w @ w), scales=0.8,
        kernel_depends_on_sample=False,
    )  # fmt: skip
    draws = w + 0.8 * rng.normal(size=(20_000, 3))
    errors = (y * (draws @ x.T) <= 0).mean()
    assert terms.gibbs_error == pytest.approx(errors, abs=0.005)


def separable_disc(rng, n):
    """x in the disc with |x_1| > 0.5 and y = sign(x_1), so that wide margins are possible."""
    x1 = rng.uniform(0.5, 0.8, n) * np.sign(rng.normal(size=n))
    return np.stack([x1, rng.uniform(-0.5, 0.5, n)], axis=1), np.sign(x1)


def test_bound_holds_in_fresh_draws_and_beats_the_margin_bound_where_margins_are_wide():
    rng = np.random.default_rng(5)
    x_new, y_new = separable_disc(rng, 20_000)
    gammas = 2.0 ** np.arange(-4, 3)
    for _ in range(50):
        x, y = separable_disc(rng, 1000)
        w = np.linalg.solve(x.T @ x + np.eye(2), x.T @ y)
        risk = np.mean(y_new * (x_new @ w) <= 0)
        shared = {"squared_norm": float(w @ w), "kernel_depends_on_sample": False}
        terms = pac_bayes_bound(y * (x @ w), (x**2).sum(axis=1), **shared)
        margin = margin_bound(y * (x @ w), trace=float((x**2).sum()), gamma=gammas, **shared).best()
        assert np.all(risk <= terms.bound)
        assert terms.best().bound < 0.15 < margin.bound


def test_bound_holds_for_pure_noise():
    """Interpolated coin flips: no errors on the sample, risk 1/2."""
    rng = np.random.default_rng(6)
    n = 50
    for _ in range(20):
        y = np.sign(rng.normal(size=n))
        terms = pac_bayes_bound(
            np.ones(n), np.ones(n), squared_norm=float(y @ y), kernel_depends_on_sample=False
        )
        assert terms.best().bound >= 0.5


def test_union_over_scales_is_paid_for():
    margins, diagonal = np.linspace(0.1, 2, 40), np.ones(40)
    scales = np.array([0.2, 0.4, 0.8])
    options = {"squared_norm": 1.0, "kernel_depends_on_sample": False}
    grid = pac_bayes_bound(margins, diagonal, scales=scales, delta=0.06, **options)
    singles = [
        pac_bayes_bound(margins, diagonal, scales=float(s), delta=0.02, **options) for s in scales
    ]
    np.testing.assert_allclose(grid.bound, [single.bound for single in singles])


@pytest.mark.parametrize(
    ("diagonal", "options", "words"),
    [
        (np.ones(3), {}, "kernel_diagonal must be finite and > 0"),
        (np.zeros(4), {}, "kernel_diagonal"),
        (np.ones(4), {"scales": -1.0}, "scales"),
        (np.ones(4), {"delta": 2.0}, "delta"),
        (np.ones(4), {"squared_norm": float("inf")}, "squared_norm"),
    ],
)
def test_bad_pac_bayes_input(diagonal, options, words):
    options = {"squared_norm": 1.0, "kernel_depends_on_sample": False} | options
    with pytest.raises(InputError, match=words):
        pac_bayes_bound(np.ones(4), diagonal, **options)


def test_maurers_constant_is_at_most_twice_the_root_for_every_size():
    """E exp(n kl(mean, p)) <= xi(n), the sum below, which the budget takes to be 2 sqrt(n)."""
    for n in [*range(1, 40), 100, 1000]:
        k = np.arange(n + 1)
        xi = np.exp(
            gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
            + xlogy(k, k / n) + xlogy(n - k, (n - k) / n)
        ).sum()  # fmt: skip
        assert xi <= 2 * np.sqrt(n) * (1 + 1e-12)


def test_two_classes_are_the_binary_bound_of_their_difference():
    rng = np.random.default_rng(12)
    g, labels, k = rng.normal(size=20), rng.integers(0, 2, 20), rng.uniform(0.5, 2, 20)
    options = {"squared_norm": 1.7, "kernel_depends_on_sample": False}
    several = multiclass_pac_bayes_bound(np.stack([-g, g], axis=1) / 2, labels, k, **options)
    two = pac_bayes_bound((2 * labels - 1) * g, 2 * k, **options)
    np.testing.assert_allclose(several.bound, two.bound)
    np.testing.assert_allclose(several.gibbs_error, two.gibbs_error)


def test_multiclass_gibbs_error_is_above_that_of_draws_by_little():
    """Linear features shared by three classes, correlated by C: K(x, x) = |x|^2 C."""
    rng = np.random.default_rng(13)
    x, labels, w = rng.normal(size=(40, 3)), rng.integers(0, 3, 40), rng.normal(size=(3, 3))
    root = rng.normal(size=(3, 3))
    blocks = (x**2).sum(axis=1)[:, None, None] * (root @ root.T)
    terms = multiclass_pac_bayes_bound(
        x @ w, labels, blocks, squared_norm=1.0, scales=0.5, kernel_depends_on_sample=True
    )
    draws = w + 0.5 * np.einsum("kpa,ba->kpb", rng.normal(size=(20_000, 3, 3)), root)
    errors = (np.einsum("ip,kpa->kia", x, draws).argmax(axis=2) != labels).mean()
    assert errors - 0.005 <= terms.gibbs_error <= 1.15 * errors
    assert terms.validity == "diagnostic"


def three_sectors(rng, n, gap=0.15):
    """x on the unit circle away from the borders of three sectors, the sector its class."""
    third = rng.integers(0, 3, n)
    angle = 2 * np.pi * third / 3 + rng.uniform(-1, 1, n) * (np.pi / 3 - gap)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1), third


def test_multiclass_bound_holds_in_fresh_draws_and_beats_the_margin_bound():
    rng = np.random.default_rng(14)
    x_new, y_new = three_sectors(rng, 20_000)
    for _ in range(30):
        x, y = three_sectors(rng, 1000)
        targets = np.eye(3)[y] - 1 / 3
        w = np.linalg.solve(x.T @ x + np.eye(2), x.T @ targets)
        risk = np.mean((x_new @ w).argmax(axis=1) != y_new)
        f = x @ w
        shared = {"squared_norm": float((w**2).sum()), "kernel_depends_on_sample": False}
        terms = multiclass_pac_bayes_bound(f, y, (x**2).sum(axis=1), **shared)
        own = f[np.arange(1000), y]
        rival = np.where(np.eye(3, dtype=bool)[y], -np.inf, f).max(axis=1)
        margin = multiclass_margin_bound(
            own - rival, trace=3 * float((x**2).sum()), gamma=2.0 ** np.arange(-5, 1), **shared
        ).best()
        assert np.all(risk <= terms.bound)
        assert terms.best().bound < 0.6 * margin.bound


def test_multiclass_bound_holds_for_pure_noise():
    rng = np.random.default_rng(15)
    y = rng.integers(0, 3, 50)
    targets = np.eye(3)[y] - 1 / 3
    terms = multiclass_pac_bayes_bound(
        targets, y, np.ones(50), squared_norm=float((targets**2).sum()),
        kernel_depends_on_sample=False,
    )  # fmt: skip
    assert terms.best().bound >= 2 / 3


@pytest.mark.parametrize(
    ("blocks", "labels", "words"),
    [
        (np.ones(3), np.zeros(4, int), "kernel_blocks must be finite"),
        (np.ones((4, 3, 3)), np.zeros(4, int), "let every two classes differ"),
        (np.ones(4), np.full(4, 3), "labels must be class indices 0..2"),
    ],
)
def test_bad_multiclass_pac_bayes_input(blocks, labels, words):
    with pytest.raises(InputError, match=words):
        multiclass_pac_bayes_bound(
            np.ones((4, 3)), labels, blocks, squared_norm=1.0, kernel_depends_on_sample=False
        )


def test_a_scale_off_the_grid_is_refused():
    terms = pac_bayes_bound(
        np.ones(4), np.ones(4), squared_norm=1.0, scales=np.array([0.5, 1.0]),
        kernel_depends_on_sample=False,
    )  # fmt: skip
    assert terms.at(0.5).bound == terms.bound[0]
    with pytest.raises(InputError, match=r"scale 0.7 is not on the grid .*: 0.5, 1"):
        terms.at(0.7)
