"""A sample on which a certificate holds, and a kernel with which none may be given."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from kdtheory.claims.circle import FLIP, draw_circle


class CertifiedSample(NamedTuple):
    """Points on a circle, their kernel x^T x, and noisy labels of a half plane."""

    gram: Float[np.ndarray, "n n"]
    """The kernel, fixed before the sample was drawn."""
    targets: Float[np.ndarray, " n"]
    """The labels as -1 and +1."""
    labels: Int[np.ndarray, " n"]
    """0 and 1; each is flipped with probability `least_risk`."""
    least_risk: float
    """Of any predictor: no certificate that holds is below it, but for its probability delta."""


def certified_sample(n: int, *, seed: int = 0) -> CertifiedSample:
    """Return n independent examples whose distribution, and so whose least risk, is known.

    >>> from kdtheory.bounds import prequential_bound
    >>> from kdtheory.complexity import factorize
    >>> sample = certified_sample(400)
    >>> found = prequential_bound(
    ...     factorize(sample.gram, ridge=1.0), sample.targets, sample.labels,
    ...     kernel_depends_on_sample=False, targets_depend_on_sample=False)
    >>> found.validity, sample.least_risk < found.bound < 0.5
    ('certificate', True)
    """
    x, labels = draw_circle(np.random.default_rng(seed), n, 2)
    return CertifiedSample(x @ x.T, 2.0 * labels - 1, labels, FLIP)


def memorising_kernel(labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
    """Return K = y y^T, y the labels as -1 and +1: one feature that is the label on the sample.

    It errs nowhere on the sample and is a coin elsewhere, so a bound that ignores the kernel's
    dependence on the sample is wrong; what is said with it is a diagnostic.

    >>> from kdtheory.bounds import prequential_bound
    >>> from kdtheory.complexity import factorize
    >>> sample = certified_sample(200)
    >>> found = prequential_bound(
    ...     factorize(memorising_kernel(sample.labels), ridge=1.0), sample.targets, sample.labels,
    ...     kernel_depends_on_sample=True, targets_depend_on_sample=False)
    >>> found.bound < sample.least_risk, found.validity
    (True, 'diagnostic')
    """
    y = 2.0 * np.asarray(labels) - 1
    return np.outer(y, y)
