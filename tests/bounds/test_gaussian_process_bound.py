import math

import numpy as np
import pytest

from kdtheory.bounds import gaussian_process_bound, pac_bayes_bound, ridge_fit
from kdtheory.claims.circle import FLIP, draw_circle
from kdtheory.complexity import eigendecompose, factorize
from kdtheory.errors import InputError


def problem(n=60, seed=0, classes=2):
    x, labels = draw_circle(np.random.default_rng(seed), n, classes)
    return x, labels, 2.0 * labels - 1 if classes == 2 else np.eye(classes)[labels] - 1 / classes


@pytest.mark.parametrize("classes", [2, 3])
def test_terms_are_those_of_two_gaussians(classes):
    """KL and the posterior's moments on the sample, by their definitions."""
    x, labels, y = problem(classes=classes)
    gram = x @ x.T + 0.1 * np.eye(60)
    s, ridge, noise = 0.5, 2.0, 0.7
    terms = gaussian_process_bound(
        eigendecompose(gram), y, labels, ridges=[ridge], noises=[noise], scales=s,
        kernel_depends_on_sample=False,
    )  # fmt: skip
    mean = (gram @ np.linalg.solve(gram + ridge * np.eye(60), y)).reshape(60, -1)
    prior = s**2 * gram
    posterior = s**2 * (gram - gram @ np.linalg.solve(gram + noise * np.eye(60), gram))
    kl = 0.0
    for column in mean.T:
        kl += 0.5 * (
            np.trace(np.linalg.solve(prior, posterior))
            - 60
            + column @ np.linalg.solve(prior, column)
            + np.linalg.slogdet(prior)[1]
            - np.linalg.slogdet(posterior)[1]
        )
    assert terms.kl == pytest.approx(kl, rel=1e-6)
    rng = np.random.default_rng(1)
    root = np.linalg.cholesky(posterior + 1e-12 * np.eye(60))
    draws = mean + root @ rng.normal(size=(4000, 60, mean.shape[1]))
    decided = draws.argmax(axis=2) if classes > 2 else draws[..., 0] > 0
    error = np.mean(decided != labels)
    if classes == 2:
        assert terms.gibbs_error == pytest.approx(error, abs=0.005)
    else:
        assert error - 0.005 <= terms.gibbs_error <= 2 * error + 0.005
    assert terms.gibbs_error < terms.gibbs_bound < 1
    assert terms.bound == min(1, 2 * terms.gibbs_bound)


def test_it_holds_on_the_circle_and_is_tighter_than_the_isotropic_posterior():
    failed, better = 0, 0
    for seed in range(20):
        x, labels, y = problem(150, seed)
        factor = factorize(x @ x.T, ridge=1.0)
        fit = ridge_fit(factor, y)
        terms = gaussian_process_bound(
            eigendecompose(x @ x.T), y, labels, ridges=[1.0, 10.0], noises=[0.01, 0.1, 1.0],
            scales=2.0 ** np.arange(-3, 4), delta=0.1, kernel_depends_on_sample=False,
        )  # fmt: skip
        weights = x.T @ factorize(x @ x.T, ridge=terms.ridge).solve(y)
        turned = abs(np.arctan2(-weights[1], -weights[0])) / math.pi
        failed += terms.bound < FLIP + (1 - 2 * FLIP) * turned
        other = pac_bayes_bound(
            fit.predictions * y, np.ones(150), squared_norm=fit.squared_norm, delta=0.1,
            kernel_depends_on_sample=False,
        ).best()  # fmt: skip
        better += terms.gibbs_bound < other.gibbs_bound
    assert failed <= 20 * 0.1 + 2 * math.sqrt(20 * 0.09)
    assert better >= 15


def test_a_grid_of_scales_is_paid_for_and_the_posterior_is_not():
    x, labels, y = problem()
    spectrum = eigendecompose(x @ x.T)
    options = {"noises": [0.5], "kernel_depends_on_sample": True}
    one = gaussian_process_bound(spectrum, y, labels, ridges=[1.0], scales=0.5, **options)
    two = gaussian_process_bound(spectrum, y, labels, ridges=[1.0], scales=[0.5, 1e3], **options)
    assert two.scale == one.scale
    assert two.gibbs_bound > one.gibbs_bound
    more = gaussian_process_bound(spectrum, y, labels, ridges=[1.0, 1e6], scales=0.5, **options)
    assert more.gibbs_bound == one.gibbs_bound
    assert one.validity == "diagnostic"
    assert one.premises.broken == ("the kernel was fixed before the sample was drawn",)


def test_bad_input():
    spectrum, labels = eigendecompose(np.eye(4)), np.array([0, 1, 0, 1])
    options = {"kernel_depends_on_sample": False, "ridges": [1.0], "noises": [1.0]}
    with pytest.raises(InputError, match="noises must be one or several finite numbers > 0"):
        gaussian_process_bound(spectrum, 2.0 * labels - 1, labels, **options | {"noises": [0.0]})
    with pytest.raises(InputError, match=r"targets must have shape \(4,\)"):
        gaussian_process_bound(spectrum, np.ones(3), labels, **options)
    for targets in (labels, labels[:, None]):
        with pytest.raises(InputError, match="are class indices"):
            gaussian_process_bound(spectrum, targets, labels, **options)
    with pytest.raises(InputError, match="NaN or infinite"):
        gaussian_process_bound(spectrum, np.full(4, np.nan), labels, **options)
