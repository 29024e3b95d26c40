import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.bounds import arora_bound, margin_bound, multiclass_margin_bound
from kdtheory.bounds.margin import radius_of
from kdtheory.complexity import factorize
from kdtheory.errors import InputError

OPTIONS = {"squared_norm": 6.25, "trace": 50.0, "kernel_depends_on_sample": False}


def noisy_circle(rng, n, flip):
    """x uniform on the unit circle, y = sign(x_1) flipped with probability `flip`."""
    angle = rng.uniform(0, 2 * np.pi, n)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    y = np.where(x[:, 0] > 0, 1.0, -1.0) * np.where(rng.uniform(size=n) < flip, -1, 1)
    return x, y


def circle_risk(w, flip):
    """Exact risk of sign(w . x) there: the angle between w and the first axis."""
    disagree = np.arccos(np.clip(w[0] / np.linalg.norm(w), -1, 1)) / np.pi
    return flip + (1 - 2 * flip) * disagree


def test_terms_by_hand():
    margins = np.array([-1.0, 0.5, 1.0, 2.0])
    terms = margin_bound(margins, gamma=1.0, delta=0.1, **OPTIONS)
    assert terms.radius == 3
    assert terms.margin_loss == 0.75
    assert terms.complexity_term == pytest.approx(2 * 3 * np.sqrt(50) / 4)
    assert terms.confidence_term == pytest.approx(3 * np.sqrt(np.log(2 * 3 * 4 / 0.1) / 8))
    total = terms.margin_loss + terms.complexity_term + terms.confidence_term
    assert terms.bound == pytest.approx(total)
    assert isinstance(terms.bound, float)


@given(st.integers(1, 8), st.integers(0, 50))
def test_a_grid_pays_for_its_union_and_best_picks_the_smallest(m, seed):
    rng = np.random.default_rng(seed)
    margins, grid = rng.normal(size=30), rng.uniform(0.1, 2, size=m)
    terms = margin_bound(margins, gamma=grid, delta=0.1, **OPTIONS)
    singles = [margin_bound(margins, gamma=g, delta=0.1 / m, **OPTIONS) for g in grid]
    np.testing.assert_allclose(terms.bound, [single.bound for single in singles])
    best = terms.best()
    assert best.bound == min(single.bound for single in singles)
    assert best.gamma == grid[np.argmin(terms.bound)]
    assert best.delta == 0.1
    assert best.best() == best
    assert terms.at(best.gamma) == best
    assert best.at(best.gamma) == best
    with pytest.raises(InputError, match="gamma 3 is not on the grid that was paid for"):
        terms.at(3.0)


def test_union_weights_of_all_radii_sum_to_one():
    weights = [np.exp(-radius_of(float(j) ** 2)[1]) for j in range(1, 2000)]
    assert sum(weights) == pytest.approx(1, abs=1e-3)
    assert sum(weights) <= 1
    finite = [np.exp(-radius_of(float(j) ** 2, num_radii=7)[1]) for j in range(1, 8)]
    assert sum(finite) == pytest.approx(1)


@given(st.floats(0, 1e6), st.floats(1e-3, 1e3))
def test_radius_holds_the_norm_and_is_on_the_grid(squared_norm, unit):
    radius, _ = radius_of(squared_norm, radius_unit=unit)
    assert radius >= np.sqrt(squared_norm) * (1 - 1e-12)
    assert radius <= np.sqrt(squared_norm) + unit * (1 + 1e-12)


@given(st.floats(1e-3, 1e3))
def test_scaling_kernel_targets_and_unit_together_changes_nothing(c):
    gram = np.diag([1.0, 2.0, 3.0])
    y = np.array([1.0, -1.0, 1.0])
    bounds = []
    for gram_scale, target_scale in ((1.0, 1.0), (c, c)):
        result = factorize(gram_scale * gram).complexity(target_scale * y)
        unit = target_scale / np.sqrt(gram_scale)
        bounds.append(
            margin_bound(
                np.full(3, target_scale),
                squared_norm=result.complexity,
                trace=result.trace,
                gamma=0.5 * target_scale,
                kernel_depends_on_sample=False,
                radius_unit=unit,
            ).bound
        )
    assert bounds[0] == pytest.approx(bounds[1])


def test_multiclass_forms_differ_by_the_number_of_outputs():
    margins = np.array([0.5, 2.0])
    contraction = multiclass_margin_bound(margins, gamma=1.0, **OPTIONS)
    classical = multiclass_margin_bound(
        margins, gamma=1.0, form="classical", num_outputs=7, **OPTIONS
    )
    assert contraction.complexity_term == pytest.approx(4 * 3 * np.sqrt(50) / 2)
    assert classical.complexity_term == pytest.approx(7 * contraction.complexity_term)
    assert classical.confidence_term == contraction.confidence_term


def test_vector_contraction_holds_for_the_margins_of_a_linear_ball():
    """E sup over the ball of (1/n) sum sigma ramp(rho) is at most 2 B sqrt(Tr K) / (gamma n)."""
    rng = np.random.default_rng(0)
    n, d, p, gamma, radius = 6, 3, 2, 0.5, 1.0
    x = rng.normal(size=(n, p))
    labels = rng.integers(0, d, n)
    w = rng.normal(size=(20_000, p, d))
    w *= radius / np.linalg.norm(w, axis=(1, 2), keepdims=True)
    f = np.einsum("ip,kpd->kid", x, w)
    own = f[:, np.arange(n), labels]
    others = np.where(np.eye(d, dtype=bool)[labels], -np.inf, f).max(axis=2)
    ramp = np.clip(1 - (own - others) / gamma, 0, 1)
    signs = np.array(np.meshgrid(*[[-1, 1]] * n)).reshape(n, -1)
    average_supremum = ((ramp @ signs) / n).max(axis=0).mean()
    trace = d * (x**2).sum()  # K = (X X^T) kron I_d
    assert average_supremum <= 2 * radius * np.sqrt(trace) / (gamma * n)


@pytest.mark.parametrize("flip", [0.0, 0.1])
def test_bound_holds_in_fresh_draws_and_is_not_vacuous(flip):
    rng = np.random.default_rng(7)
    gammas = 2.0 ** np.arange(-4, 1)
    held = []
    values = []
    for _ in range(200):
        x, y = noisy_circle(rng, 3000, flip)
        w = np.linalg.solve(x.T @ x + 3.0 * np.eye(2), x.T @ y)
        terms = margin_bound(
            y * (x @ w),
            squared_norm=float(w @ w),
            trace=float((x**2).sum()),
            gamma=gammas,
            kernel_depends_on_sample=False,
            delta=0.1,
        )
        held.append(np.all(circle_risk(w, flip) <= terms.bound))
        values.append(terms.best().bound)
    assert np.mean(held) >= 0.9
    assert np.mean(values) < 0.75


def test_margin_loss_alone_is_no_bound_and_the_complexity_term_saves_it():
    """Pure label noise, interpolated: the sample has no errors, the risk is 1/2."""
    rng = np.random.default_rng(1)
    n = 60
    for _ in range(20):
        x, y = noisy_circle(rng, n, 0.5)  # y_i f(x_i) = y_i^2 = 1
        gram = np.exp(-((x[:, None] - x) ** 2).sum(-1) / 0.02**2) + 1e-3 * np.eye(n)
        result = factorize(gram).complexity(y)
        terms = margin_bound(
            np.ones(n), squared_norm=result.complexity, trace=result.trace, gamma=0.9,
            kernel_depends_on_sample=False,
        )  # fmt: skip
        assert terms.margin_loss == 0
        assert terms.bound >= 0.5
        assert terms.complexity_term >= 0.5


def test_arora_is_the_ball_of_a_kernel_with_diagonal_one_half():
    terms = arora_bound(
        complexity=49.0, trace=200.0, num_examples=400, kernel_depends_on_sample=True, delta=0.2
    )
    assert terms.leading_term == pytest.approx(np.sqrt(2 * 49 / 400))
    assert terms.complexity_term == pytest.approx(terms.leading_term)
    assert terms.confidence_term == pytest.approx(3 * np.sqrt(np.log(2 * 7 * 8 / 0.2) / 800))
    assert terms.bound == pytest.approx(terms.complexity_term + terms.confidence_term)
    assert terms.validity == "diagnostic"


@pytest.mark.parametrize("noise", [False, True])
def test_arora_holds_in_fresh_draws(noise):
    """Interpolants of a smooth function (the bound is below 1) and of coin flips (it is not)."""
    rng = np.random.default_rng(3)
    n, width = 300, 0.02 if noise else 1.0
    angles = np.linspace(0, 2 * np.pi, 500)
    everywhere = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for _ in range(10):
        x, y = noisy_circle(rng, n, 0.5)
        if not noise:
            y = np.exp(-((x - everywhere[0]) ** 2).sum(-1))
        gram, cross = (np.exp(-((z[:, None] - x) ** 2).sum(-1) / width**2) for z in (x, everywhere))
        factor = factorize(gram, ridge=1e-6)
        result = factor.complexity(y)
        f = cross @ factor.solve(y)
        truth = np.exp(-((everywhere - everywhere[0]) ** 2).sum(-1))
        # Against a coin flip the loss min(|f - y|, 1) is the mean over both faces.
        loss = (
            (np.minimum(np.abs(f - 1), 1) + np.minimum(np.abs(f + 1), 1)).mean() / 2
            if noise
            else np.minimum(np.abs(f - truth), 1).mean()
        )
        bound = arora_bound(
            complexity=result.complexity, trace=result.trace, num_examples=n,
            kernel_depends_on_sample=False,
        ).bound  # fmt: skip
        assert loss <= bound
        assert (loss > 0.4) == noise == (bound > 1)


def test_validity_is_stated():
    margins = np.ones(3)
    for depends, validity in ((True, "diagnostic"), (False, "certificate")):
        options = OPTIONS | {"kernel_depends_on_sample": depends}
        assert margin_bound(margins, gamma=1.0, **options).validity == validity
        terms = multiclass_margin_bound(margins, gamma=1.0, **options)
        assert terms.validity == validity
        assert any("kernel" in premise for premise in terms.premises.broken) == depends
        assert any("independent" in premise for premise in terms.premises.assumed)
    with pytest.raises(TypeError, match="kernel_depends_on_sample"):
        margin_bound(margins, squared_norm=1.0, trace=1.0, gamma=1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gamma": 0.0}, "gamma must be one or several finite numbers > 0"),
        ({"gamma": np.array([1.0, -1.0])}, "gamma"),
        ({"delta": 0.0}, r"delta must be in \(0, 1\)"),
        ({"delta": 1.0}, "delta"),
        ({"squared_norm": -1.0}, "squared_norm must be finite and >= 0"),
        ({"trace": float("nan")}, "trace"),
        ({"radius_unit": 0.0}, "radius_unit"),
        ({"num_radii": 2}, "norm 2.5 is beyond the last of 2 radii"),
    ],
)
def test_bad_margin_bound_input(change, words):
    options = OPTIONS | {"gamma": 1.0} | change
    with pytest.raises(InputError, match=words):
        margin_bound(np.ones(3), **options)


def test_bad_margins_and_forms():
    with pytest.raises(InputError, match="margins must be finite"):
        margin_bound(np.array([1.0, np.nan]), gamma=1.0, **OPTIONS)
    with pytest.raises(InputError, match="n >= 1"):
        margin_bound(np.ones(0), gamma=1.0, **OPTIONS)
    with pytest.raises(InputError, match="needs num_outputs >= 2"):
        multiclass_margin_bound(np.ones(3), gamma=1.0, form="classical", **OPTIONS)
