"""A fixed kernel on a sample, and everything that is certified of its fits, side by side."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

from kdtheory.analysis import ntk_similarity
from kdtheory.bounds.arguments import class_gaps
from kdtheory.bounds.gaussian_process import gaussian_process_bound
from kdtheory.bounds.held_out import held_out_bound
from kdtheory.bounds.margin import margin_bound, multiclass_margin_bound
from kdtheory.bounds.prequential import PrequentialBound, prequential_bound
from kdtheory.bounds.ridge import leave_one_out_predictions, ridge_fit
from kdtheory.complexity import Factor, Spectrum, eigendecompose, factorize
from kdtheory.errors import InputError, KernelError
from kdtheory.typing import ArrayLike

#: Ridges of a kernel whose diagonal is 1, fixed before any sample.
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
#: The other grids of such a kernel: noises and prior scales of the process, margins of the bound.
NOISES = (0.1, 1.0, 10.0, 100.0)
SCALES = 2.0 ** np.arange(-3, 6)
GAMMAS = 2.0 ** np.arange(-5, 1)


def unit_diagonal(
    kernel: Real[ArrayLike, "n m"],
    diagonal: Real[ArrayLike, " n"],
    other: Real[ArrayLike, " m"] | None = None,
) -> Float[np.ndarray, "n m"]:
    """Return k(x, x') / sqrt(k(x, x) k(x', x')), which is a fixed kernel where k is one.

    Args:
      kernel: k(x, x').
      diagonal: k(x, x) of its rows.
      other: k(x', x') of its columns, where these are other inputs.

    A ridge relative to the mean diagonal would depend on the sample; one of this kernel does not.

    >>> unit_diagonal(np.array([[4.0, 3.0], [3.0, 9.0]]), np.array([4.0, 9.0]))
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    rows = np.sqrt(np.asarray(diagonal, np.float64))
    columns = rows if other is None else np.sqrt(np.asarray(other, np.float64))
    return np.asarray(kernel, np.float64) / rows[:, None] / columns


class CertifiedFit(NamedTuple):
    """What is certified of the fits to one set of targets, each with probability 1 - delta."""

    prequential: PrequentialBound
    """The certificate: of the fits to growing parts of the sample, ridge by the past."""
    held_out_half: float
    """The yardstick: Clopper and Pearson's bound of the fit to the first half, from the second;
    its ridge is that of the fewest leave-one-out errors."""
    margin: float
    """`margin_bound` of the ridge fit, the smallest over gamma and ridge."""
    gibbs: float | None
    """`gaussian_process_bound`, of a draw; None where there is no spectrum."""
    test_error: float | None
    """Of the fit to the whole sample, ridge by leave-one-out; None where there are no test
    examples."""
    certified_test_error: float | None
    """Of the predictors that the certificate is about: what it should not be below."""
    leave_one_out: float
    """Share of the sample's examples whose label the fit to all others misses, at the ridge with
    the fewest: an estimate, and no bound."""
    alignment: float | None
    """Centred alignment of the kernel and the targets' Y Y^T; None where either is constant."""


@dataclass(frozen=True, eq=False)
class KernelSample:
    """A kernel with a unit diagonal, fixed beforehand, on a sample; it is factorised once."""

    kernel: np.ndarray
    """(n, n), rows in the order in which the examples were drawn; every output has it."""
    labels: np.ndarray
    """Class indices (n,), against which risk is counted."""
    factors: tuple[Factor, ...]
    """Of kernel + ridge I, a ridge each."""
    halves: tuple[Factor, ...]
    """The same of the first half."""
    spectrum: Spectrum | None
    """Of the kernel, for the process."""
    cross: np.ndarray | None
    """k(x, X) of m test examples, (m, n): these only check."""
    whitened: tuple[np.ndarray, ...]
    """L^-1 k(X, x) of each factor, (m, n)."""
    test_labels: np.ndarray | None
    """Class indices of the test examples, (m,)."""


def kernel_sample(
    kernel: Float[np.ndarray, "n n"],
    labels: Int[ArrayLike, " n"],
    *,
    cross: Float[np.ndarray, "m n"] | None = None,
    test_labels: Int[ArrayLike, " m"] | None = None,
    process: bool = False,
) -> KernelSample:
    """Return a kernel on a sample, factorised for every ridge, for any number of targets.

    Args:
      kernel: with a unit diagonal (`unit_diagonal`), in the order of the examples.
      labels: class indices, shape (n,).
      cross: kernel of test examples and the sample.
      test_labels: their class indices.
      process: whether to bound the Gaussian process too: its eigenvalues cost ten times a factor.

    Raises:
      InputError: fewer than 4 examples, or shapes that do not fit.

    >>> one = kernel_sample(np.eye(4), np.array([0, 1, 1, 0]))
    >>> len(one.factors), one.halves[0].size, one.spectrum is None
    (5, 2, True)
    """
    values = np.asarray(labels)
    n = len(values)
    if n < 4 or kernel.shape != (n, n):
        raise InputError(
            f"a sample needs at least 4 examples and a kernel of as many rows, got {n} labels and "
            f"a kernel of shape {kernel.shape}"
        )
    if (cross is None) != (test_labels is None):
        raise InputError("give cross and test_labels together, or neither")
    half = n // 2
    factors = tuple(factorize(kernel, ridge=ridge) for ridge in RIDGES)
    rows = None if cross is None else np.ascontiguousarray(cross)
    return KernelSample(
        kernel=kernel,
        labels=values,
        factors=factors,
        halves=tuple(factorize(kernel[:half, :half], ridge=ridge) for ridge in RIDGES),
        spectrum=eigendecompose(kernel) if process else None,
        cross=cross,
        whitened=() if rows is None else tuple(each.half_solve(rows) for each in factors),
        test_labels=None if test_labels is None else np.asarray(test_labels),
    )


def certified_fit(
    sample: KernelSample,
    targets: Real[ArrayLike, "n d"],
    *,
    kernel_depends_on_sample: bool,
    targets_depend_on_sample: bool,
    delta: float = 0.05,
) -> CertifiedFit:
    """Return what is certified of the kernel ridge fits to some targets, and their test errors.

    Args:
      sample: `kernel_sample(...)`.
      targets: (n, 1) for two classes, (n, d) for d; every output has the same kernel.
      kernel_depends_on_sample: as for `prequential_bound`.
      targets_depend_on_sample: as for `prequential_bound`.
      delta: of each bound by itself.

    Raises:
      InputError: targets that do not fit, values out of range.

    >>> x = np.random.default_rng(0).uniform(-1, 1, size=(400, 1))
    >>> labels = (x[:, 0] > 0).astype(int)
    >>> kernel = unit_diagonal(1 + x @ x.T, 1 + x[:, 0] ** 2)
    >>> fit = certified_fit(kernel_sample(kernel, labels), 2.0 * labels[:, None] - 1,
    ...                     kernel_depends_on_sample=False, targets_depend_on_sample=False)
    >>> round(fit.prequential.bound, 2), round(fit.held_out_half, 2), fit.prequential.validity
    (0.03, 0.02, 'certificate')
    >>> fit.leave_one_out, fit.alignment > 0.5
    (0.0, True)
    """
    y = np.asarray(targets, np.float64)
    labels = sample.labels
    terms = prequential_bound(
        sample.factors,
        y,
        labels,
        kernel_depends_on_sample=kernel_depends_on_sample,
        targets_depend_on_sample=targets_depend_on_sample,
        delta=delta,
    )
    half = len(y) // 2
    of_half, _ = _by_leave_one_out(sample.halves, y[:half], labels[:half])
    missed = _wrong(sample.kernel[half:, :half] @ _solve(of_half, y[:half]), labels[half:])
    chosen, left_out = _by_leave_one_out(sample.factors, y, labels)
    test_error = certified_test_error = None
    if sample.cross is not None and sample.test_labels is not None:
        wrong = _wrong(sample.cross @ _solve(chosen, y), sample.test_labels)
        test_error = float(wrong.mean())
        certified_test_error = _risk_of_iterates(sample, y, terms.weights)
    process = None
    if sample.spectrum is not None:
        process = gaussian_process_bound(
            sample.spectrum,
            y,
            labels,
            ridges=RIDGES,
            noises=NOISES,
            scales=SCALES,
            kernel_depends_on_sample=kernel_depends_on_sample,
            delta=delta,
        ).gibbs_bound
    return CertifiedFit(
        prequential=terms,
        held_out_half=held_out_bound(int(missed.sum()), len(missed), delta=delta),
        margin=min(
            _margin(factor, y, labels, delta, kernel_depends_on_sample) for factor in sample.factors
        ),
        gibbs=process,
        test_error=test_error,
        certified_test_error=certified_test_error,
        leave_one_out=left_out,
        alignment=_alignment(sample.kernel, y),
    )


def _alignment(kernel: np.ndarray, y: np.ndarray) -> float | None:
    try:
        return ntk_similarity(kernel, y @ y.T, centred=True)
    except KernelError:
        return None


def _margin(
    factor: Factor, y: np.ndarray, labels: np.ndarray, delta: float, depends: bool
) -> float:
    d = y.shape[1]
    if d == 1:
        fit = ridge_fit(factor, y)
        predictions, norm, bound = fit.predictions, float(fit.squared_norm), margin_bound
    else:
        stack = ridge_fit(factor, np.ascontiguousarray(y.T))
        predictions, norm = stack.predictions.T, float(np.sum(stack.squared_norm))
        bound = multiclass_margin_bound
    gaps = class_gaps(predictions, labels).min(axis=1)
    found = bound(
        gaps,
        squared_norm=norm,
        trace=d * factor.trace,
        gamma=GAMMAS,
        delta=delta,
        kernel_depends_on_sample=depends,
    )
    return float(found.best().bound)


def _by_leave_one_out(
    factors: tuple[Factor, ...], y: np.ndarray, labels: np.ndarray
) -> tuple[Factor, float]:
    """Return the factor of the fewest leave-one-out errors, the largest ridge of equals; and their
    share."""
    falling = factors[::-1]
    stack = np.ascontiguousarray(y.T)
    errors = [
        _wrong(np.atleast_2d(leave_one_out_predictions(factor, stack)).T, labels).mean()
        for factor in falling
    ]
    best = int(np.argmin(errors))
    return falling[best], float(errors[best])


def _solve(factor: Factor, y: np.ndarray) -> np.ndarray:
    return np.atleast_2d(factor.solve(np.ascontiguousarray(y.T))).T


def _wrong(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which predictions (n, d) are wrong, ties counted."""
    return class_gaps(predictions, labels).min(axis=1) <= 0


def _risk_of_iterates(sample: KernelSample, y: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted test error of all f_{i-1}, each with the ridge that the past chose.

    f_i(x) is the sum over j <= i of (L^-1 k(X, x))_j z_j.
    """
    assert sample.test_labels is not None
    n, d = y.shape
    # (test examples, iterates, outputs) at a time: 80 MB.
    together = max(1, 10_000_000 // (n * d))
    errors, mistakes = [], []
    for factor, white in zip(sample.factors, sample.whitened, strict=True):
        z = np.atleast_2d(factor.half_solve(np.ascontiguousarray(y.T))).T
        wrong = np.zeros(n)
        for first in range(0, len(white), together):
            rows = slice(first, first + together)
            steps = white[rows, :, None] * z
            values = np.cumsum(steps, axis=1) - steps
            labels = np.repeat(sample.test_labels[rows], n)
            wrong += _wrong(values.reshape(-1, d), labels).reshape(-1, n).sum(axis=0)
        errors.append(wrong / len(white))
        mistakes.append(_wrong(y - factor.pivots[:, None] * z, sample.labels).astype(float))
    before = np.cumsum(mistakes, axis=1) - np.array(mistakes)
    return float(weights @ np.array(errors)[before.argmin(axis=0), np.arange(n)])
