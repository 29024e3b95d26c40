import math

import numpy as np
import pytest

from kdtheory.bounds import bound_conditional_risk, prequential_bound
from kdtheory.claims.circle import FLIP, draw_circle, risk_on_circle
from kdtheory.complexity import factorize, prequential_fit_of_features
from kdtheory.errors import InputError

FIXED = {"kernel_depends_on_sample": False, "targets_depend_on_sample": False}


def draw_with_risks(rng, size, classes, ridge):
    """A sample of the circle, the targets, and the exact risk of each f_{i-1}, i = 1..n."""
    x, labels = draw_circle(rng, size, classes)
    y = np.eye(classes)[labels] - 1 / classes
    inner = ridge * np.eye(2) + np.cumsum(x[:, :, None] * x[:, None, :], axis=0)[:-1]
    outer = np.cumsum(x[:, :, None] * y[:, None, :], axis=0)[:-1]
    weights = np.linalg.solve(inner, outer)
    # Without weights all classes tie, and a tie counts as an error.
    if classes == 2:
        across = weights[:, :, 0] - weights[:, :, 1]
        turned = np.abs(np.arctan2(across[:, 1], across[:, 0])) / np.pi
        risks = FLIP + (1 - 2 * FLIP) * turned
    else:
        risks = np.array([risk_on_circle(w) for w in weights])
    return x, labels, y, np.append(1.0, risks)


@pytest.mark.parametrize(
    ("classes", "samples"), [(2, 100), (3, 20), pytest.param(2, 2000, marks=pytest.mark.slow)]
)
def test_coverage_on_the_circle(classes, samples):
    rng = np.random.default_rng(classes)
    failed = {"betting": 0, "mixture": 0, "empirical_bernstein": 0}
    for _ in range(samples):
        x, labels, y, risks = draw_with_risks(rng, 40, classes, 1.0)
        fit = prequential_fit_of_features(x, y, ridge=1.0)
        for method in failed if classes == 3 else ("betting",):
            terms = prequential_bound(fit, y, labels, delta=0.1, method=method, **FIXED)
            failed[method] += terms.bound < terms.weights @ risks
    for method, count in failed.items():
        assert count <= samples * 0.1 + 2 * math.sqrt(samples * 0.09), method


def test_risks_of_the_growing_fits():
    x, _, y, risks = draw_with_risks(np.random.default_rng(0), 8, 2, 1.0)
    for i in range(1, 8):
        weights = np.linalg.solve(np.eye(2) + x[:i].T @ x[:i], x[:i].T @ y[:i])
        assert risks[i] == pytest.approx(risk_on_circle(weights))


def test_terms_of_a_problem_that_is_worked_out():
    gram = np.array([[1.0, 0.5, -0.5], [0.5, 1.0, 0.0], [-0.5, 0.0, 1.0]])
    labels = np.array([1, 1, 0])
    y = 2.0 * labels - 1
    terms = prequential_bound(factorize(gram, ridge=1.0), y, labels, **FIXED)
    # The first is a tie; the others' predictions 0.5 / 2 and below 0.
    assert terms.error == pytest.approx(1 / 3)
    assert terms.complexity == pytest.approx(y @ np.linalg.solve(gram + np.eye(3), y))
    assert terms.error_from_complexity == pytest.approx(2 * terms.complexity / 3)
    assert terms.vote_bound == min(1, 2 * terms.bound)
    assert terms.weights.sum() == pytest.approx(1)
    assert terms.num_examples == 3
    assert terms.validity == "certificate"


@pytest.mark.parametrize("d", [0, 3])
def test_errors_are_not_more_than_complexity_allows(d):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        phi = rng.normal(size=(50, 4))
        phi /= np.linalg.norm(phi, axis=1, keepdims=True)
        labels = rng.integers(0, max(d, 2), 50)
        y = np.eye(d)[labels] - 1 / d if d else 2.0 * labels - 1
        fit = prequential_fit_of_features(phi, y, ridge=0.2)
        terms = prequential_bound(fit, y, labels, **FIXED)
        assert terms.error <= terms.error_from_complexity
        assert terms.error_from_complexity <= min(1, (2 if d else 1) * 1.2 * fit.complexity / 50)


def test_a_kernel_that_memorises_breaks_it_and_is_no_certificate():
    """k(x, x') = g(x) g(x') with g the sample's label: no error there, one half elsewhere."""
    labels = np.random.default_rng(0).integers(0, 2, 200)
    y = 2.0 * labels - 1
    terms = prequential_bound(
        prequential_fit_of_features(y[:, None], y, ridge=1.0),
        y,
        labels,
        kernel_depends_on_sample=True,
        targets_depend_on_sample=False,
    )
    assert terms.bound < 0.1  # the risk is 0.5
    assert terms.validity == "diagnostic"
    assert terms.premises.broken == (
        "kernel and its centring were fixed before the sample was drawn",
    )
    other = prequential_bound(
        prequential_fit_of_features(y[:, None], y, ridge=1.0),
        y,
        labels,
        kernel_depends_on_sample=False,
        targets_depend_on_sample=True,
    )
    assert other.validity == "diagnostic"
    assert "target of each example" in other.premises.broken[0]


def test_order_changes_the_bound_and_not_the_complexity():
    rng = np.random.default_rng(0)
    x, labels = draw_circle(rng, 80, 2)
    y, order = 2.0 * labels - 1, rng.permutation(80)
    factor = factorize(x @ x.T, ridge=1.0)
    again = factorize((x @ x.T)[np.ix_(order, order)], ridge=1.0)
    one = prequential_bound(factor, y, labels, **FIXED)
    other = prequential_bound(again, y[order], labels[order], **FIXED)
    assert one.complexity == pytest.approx(other.complexity)
    assert one.bound != other.bound


def test_several_ridges_by_the_past_or_paid_for():
    x, labels = draw_circle(np.random.default_rng(1), 150, 2)
    y = 2.0 * labels - 1
    fits = [factorize(x @ x.T, ridge=ridge) for ridge in (1e3, 1e-2, 1.0)]
    alone = [prequential_bound(fit, y, labels, **FIXED) for fit in fits]
    paid = prequential_bound(fits, y, labels, ridge_choice="paid", **FIXED)
    best = min(alone, key=lambda terms: terms.bound)
    shared = prequential_bound(fits[alone.index(best)], y, labels, delta=0.05 / 3, **FIXED)
    assert paid.bound == pytest.approx(shared.bound)
    assert paid.ridge == best.ridge
    past = prequential_bound(fits, y, labels, **FIXED)
    assert math.isnan(past.ridge)
    assert past.error <= max(terms.error for terms in alone)
    # By hand: the ridge with the fewest errors so far.
    errors = []
    each = np.stack([
        (prequential_fit_of_features(x, y, ridge=r).predictions * y <= 0) for r in (1e3, 1e-2, 1.0)
    ])  # fmt: skip
    for i in range(150):
        errors.append(each[each[:, :i].sum(axis=1).argmin(), i])
    assert past.error == np.mean(errors)


def test_the_last_part_and_several_parts():
    x, labels = draw_circle(np.random.default_rng(2), 200, 3)
    y = np.eye(3)[labels] - 1 / 3
    fit = prequential_fit_of_features(x, y, ridge=1.0)
    half = prequential_bound(fit, y, labels, part=0.5, **FIXED)
    assert half.num_examples == 100
    assert math.isnan(half.error_from_complexity)
    errors = (fit.predictions.argmax(axis=1) != labels)[100:]
    assert half.error == errors.mean()
    both = prequential_bound(fit, y, labels, part=(0.5, 1.0), delta=0.1, **FIXED)
    each = [prequential_bound(fit, y, labels, part=p, delta=0.05, **FIXED) for p in (0.5, 1.0)]
    assert both.bound == min(terms.bound for terms in each)


@pytest.mark.parametrize("n", [250, 5000])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4])
def test_betting_is_the_tightest_or_within_a_hundredth(n, rate):
    losses = (np.random.default_rng(n).permutation(n) < rate * n).astype(float)
    bounds = {
        method: bound_conditional_risk(losses, delta=0.05, method=method).bound
        for method in ("betting", "mixture", "empirical_bernstein")
    }
    assert bounds["betting"] <= 1.01 * min(bounds.values())
    assert all(bound > rate for bound in bounds.values())


def test_bad_input():
    factor, labels = factorize(np.eye(4)), np.array([0, 1, 0, 1])
    y = 2.0 * labels - 1
    with pytest.raises(InputError, match=r"part must be one or several numbers in \(0, 1\]"):
        prequential_bound(factor, y, labels, part=0.0, **FIXED)
    with pytest.raises(InputError, match="one factor or several, got none"):
        prequential_bound([], y, labels, **FIXED)
    fit = prequential_fit_of_features(np.eye(4), y, ridge=1.0)
    with pytest.raises(InputError, match="give the targets that it was made from"):
        prequential_bound(fit, y[:, None], labels, **FIXED)
    with pytest.raises(InputError, match=r"labels must be class indices 0\.\.1"):
        prequential_bound(factor, y, y.astype(int), **FIXED)
    with pytest.raises(InputError, match=r"losses must be in \[0, 1\]"):
        bound_conditional_risk(np.array([2.0]), delta=0.1)
