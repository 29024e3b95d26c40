"""Margin bounds: the risk of a kernel predictor from margins, norm and the kernel's trace."""

import math
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Real

from kdtheory.bounds.arguments import check_arguments, check_size, select, select_value
from kdtheory.bounds.validity import Premises, Validity, premises_of
from kdtheory.errors import InputError, unknown_name
from kdtheory.typing import ArrayLike

MulticlassForm: TypeAlias = Literal["vector_contraction", "classical"]


class MarginBound(NamedTuple):
    """P(error) <= bound = margin_loss + complexity_term + confidence_term, with prob. 1 - delta.

    For a grid of m values of gamma, `bound`, `margin_loss`, `complexity_term` and `gamma` are
    arrays of shape (m,), and with probability 1 - delta all m bounds hold at once; for one gamma
    they are floats.
    """

    bound: float | np.ndarray
    """On the probability of an error; says nothing where it is 1 or more."""
    margin_loss: float | np.ndarray
    """Share of the sample with margin <= gamma."""
    complexity_term: float | np.ndarray
    """The Rademacher term, slope * radius * sqrt(Tr K) / (gamma n)."""
    confidence_term: float
    """3 sqrt(ln(2 / delta') / (2 n)), delta' the share of delta that is left for this gamma and
    this radius.
    """
    gamma: float | np.ndarray
    """The margin."""
    radius: float
    """B, the radius of the ball, ||f||_H rounded up to the grid of radii."""
    delta: float
    """Probability of failure."""
    premises: Premises
    """What the bound rests on; `validity` sums it up: "certificate", or "diagnostic" where the
    kernel depends on the sample.
    """

    @property
    def validity(self) -> Validity:
        """Whether the premises hold: "certificate" or "diagnostic"."""
        return self.premises.validity

    def at(self, gamma: float) -> "MarginBound":
        """Return the terms at one gamma of the grid, as floats.

        Raises:
          InputError: a gamma that is not on the grid.
        """
        return select_value(self, "gamma", gamma)

    def best(self) -> "MarginBound":
        """Return the terms at the gamma of the smallest bound, as floats.

        Allowed without further cost: the union over the grid is already paid for.
        """
        return select(self, int(np.argmin(self.bound))) if np.ndim(self.bound) else self


def margin_bound(
    margins: Real[ArrayLike, " n"],
    *,
    squared_norm: float,
    trace: float,
    gamma: float | ArrayLike,
    kernel_depends_on_sample: bool,
    delta: float = 0.05,
    radius_unit: float = 1.0,
    num_radii: int | None = None,
) -> MarginBound:
    """Bound P(Y f(X) <= 0) of a kernel predictor on a binary task.

    Args:
      margins: y_i f(x_i) on the sample, shape (n,) (`analysis.margins`).
      squared_norm: an upper bound of ||f||_H^2. For the minimum-norm interpolant it is the
        complexity Y^T K^-1 Y; for a ridge fit `ridge_fit(...).squared_norm`, or the larger
        Y^T (K + ridge I)^-1 Y. For f = f_0 + h, f_0 fixed before the sample was drawn, it is
        that of h.
      trace: Tr K on the sample.
      gamma: one margin > 0, or a grid of m, fixed before the sample is seen. A grid costs
        delta / m for each of its values.
      kernel_depends_on_sample: whether these examples had a part in making the kernel; then the
        result is a diagnostic.
      delta: probability of failure, in (0, 1).
      radius_unit: spacing u of the grid of radii u, 2u, 3u, ..., fixed before the sample is
        seen, in the unit of ||f||_H; 1 is the usual statement.
      num_radii: how many radii the union covers, fixed before the sample is seen. By default
        all, with weight 1 / (j (j + 1)) for the j-th; a number M gives each the weight 1 / M.

    Returns:
      A `MarginBound`.

    Raises:
      InputError: values out of range, or a norm beyond the last of `num_radii` radii.

    Statement: with probability >= 1 - delta over the sample, for every f in the RKHS at once,
    with B = u j, j = max(1, ceil(||f||_H / u)):

        P(Y f(X) <= 0) <= (1/n) sum_i 1{y_i f(x_i) <= gamma} + 2 B sqrt(Tr K) / (gamma n)
                          + 3 sqrt(ln(2 j (j + 1) / delta) / (2 n)).

    Proof idea: (1) the ramp of slope 1/gamma lies between the two indicators, and uniform
    convergence costs twice its empirical Rademacher complexity and the last term; (2) contraction
    bounds that by (1/gamma) times the ball's, which is at most (B/n) sqrt(Tr K); (3) union over
    radii, with delta_j = delta / (j (j + 1)), which sum to delta.

    Source: Bartlett and Mendelson 2002; Mohri, Rostamizadeh and Talwalkar, 2nd edition, Theorem
    5.8; paper (Harutyunyan et al., ICLR 2023, arXiv 2301.12245) for the minimum-norm interpolant of
    a supervision. The paper states the bound with a union constant of its own. The default here
    covers every radius; `num_radii` gives constants that count a finite number of them, which are
    smaller for large norms and say nothing about norms beyond the last radius.

    >>> terms = margin_bound(np.full(10_000, 2.0), squared_norm=4.0, trace=10_000.0, gamma=1.0,
    ...                      kernel_depends_on_sample=False)
    >>> terms.margin_loss, terms.complexity_term, round(terms.bound, 4), terms.validity
    (0.0, 0.04, 0.0897, 'certificate')
    """
    return _bound(
        margins,
        slope=2.0,
        squared_norm=squared_norm,
        trace=trace,
        gamma=gamma,
        kernel_depends_on_sample=kernel_depends_on_sample,
        delta=delta,
        radius_unit=radius_unit,
        num_radii=num_radii,
    )


def multiclass_margin_bound(
    margins: Real[ArrayLike, " n"],
    *,
    squared_norm: float,
    trace: float,
    gamma: float | ArrayLike,
    kernel_depends_on_sample: bool,
    form: MulticlassForm = "vector_contraction",
    num_outputs: int | None = None,
    delta: float = 0.05,
    radius_unit: float = 1.0,
    num_radii: int | None = None,
) -> MarginBound:
    """Bound P(rho_f(X, Y) <= 0) of a predictor of a matrix-valued kernel, d >= 2 classes.

    Args:
      margins: rho = f_y - max over y' != y of f_y' on the sample, shape (n,)
        (`analysis.margins`).
      squared_norm: an upper bound of ||f||_H^2, Y^T K^-1 Y with the full (n d, n d) kernel.
      trace: Tr K of the full kernel.
      gamma: as for `margin_bound`.
      kernel_depends_on_sample: as for `margin_bound`.
      form: "vector_contraction" (no factor d) or "classical" (its complexity term is d times
        as large).
      num_outputs: d; "classical" needs it.
      delta: as for `margin_bound`.
      radius_unit: as for `margin_bound`.
      num_radii: as for `margin_bound`.

    Returns:
      A `MarginBound`.

    Raises:
      InputError: values out of range, "classical" without `num_outputs`.

    Statement: that of `margin_bound` for rho, with the complexity term

        4 B sqrt(Tr K) / (gamma n)      vector contraction
        4 d B sqrt(Tr K) / (gamma n)    classical.

    Proof idea, vector contraction: rho is sqrt(2)-Lipschitz in the l2 norm of the logits, so the
    ramp of rho is sqrt(2)/gamma-Lipschitz; Maurer's inequality costs another sqrt(2) and leaves
    E sup (1/n) sum_ia sigma_ia f_a(x_i) <= (B/n) sqrt(Tr K). Classical: a margin is a difference
    of maxima, each bounded by the sum over the d classes of the complexity of the class
    {f_a : a <= d, f in the ball}, which is at most (B/n) sqrt(Tr K).

    Source: Maurer 2016, "A vector-contraction inequality for Rademacher complexities"; Mohri,
    Rostamizadeh and Talwalkar, 2nd edition, Theorem 9.2 (classical).

    >>> options = dict(squared_norm=1.0, trace=100.0, gamma=1.0, kernel_depends_on_sample=True)
    >>> multiclass_margin_bound(np.ones(100), **options).complexity_term
    0.4
    >>> multiclass_margin_bound(np.ones(100), form="classical", num_outputs=10,
    ...                         **options).complexity_term
    4.0
    """
    if form == "vector_contraction":
        slope = 4.0
    elif form == "classical":
        if num_outputs is None or num_outputs < 2:
            raise InputError(f"the classical form needs num_outputs >= 2, got {num_outputs}")
        slope = 4.0 * num_outputs
    else:
        raise unknown_name("form", form, ["vector_contraction", "classical"])
    return _bound(
        margins,
        slope=slope,
        squared_norm=squared_norm,
        trace=trace,
        gamma=gamma,
        kernel_depends_on_sample=kernel_depends_on_sample,
        delta=delta,
        radius_unit=radius_unit,
        num_radii=num_radii,
    )


def _bound(
    margins: ArrayLike,
    *,
    slope: float,
    squared_norm: float,
    trace: float,
    gamma: float | ArrayLike,
    kernel_depends_on_sample: bool,
    delta: float,
    radius_unit: float,
    num_radii: int | None,
) -> MarginBound:
    arguments = check_arguments(
        margins, squared_norm=squared_norm, delta=delta, name="gamma", grid=gamma
    )
    check_size("trace", trace)
    radius, log_weight = radius_of(squared_norm, radius_unit=radius_unit, num_radii=num_radii)
    n, grid = arguments.size, arguments.grid
    margin_loss = (arguments.margins[None, :] <= grid[:, None]).mean(axis=1)
    complexity_term = slope * radius * math.sqrt(trace) / (grid * n)
    confidence = confidence_term(n, arguments.share, log_weight=log_weight)
    terms = MarginBound(
        bound=margin_loss + complexity_term + confidence,
        margin_loss=margin_loss,
        complexity_term=complexity_term,
        confidence_term=confidence,
        gamma=grid,
        radius=radius,
        delta=delta,
        premises=premises_of(
            kernel_depends_on_sample=kernel_depends_on_sample,
            assumed=("gamma and the grid of radii were fixed before the sample was drawn",),
        ),
    )
    return terms if np.ndim(gamma) else select(terms, 0)


def radius_of(
    squared_norm: float, *, radius_unit: float = 1.0, num_radii: int | None = None
) -> tuple[float, float]:
    """Return the smallest radius of the grid that holds the norm, and ln(1 / its weight).

    Raises:
      InputError: values out of range, or a norm beyond the last radius.

    >>> radius_of(5.0)
    (3.0, 2.4849066497880004)
    """
    check_size("squared_norm", squared_norm)
    if not (math.isfinite(radius_unit) and radius_unit > 0):
        raise InputError(f"radius_unit must be finite and > 0, got {radius_unit}")
    index = max(1, math.ceil(math.sqrt(squared_norm) / radius_unit))
    if num_radii is None:
        return index * radius_unit, math.log(index) + math.log(index + 1)
    if index > num_radii:
        raise InputError(
            f"the norm {math.sqrt(squared_norm):.4g} is beyond the last of {num_radii} radii, "
            f"{num_radii * radius_unit:.4g}, so the bound says nothing; use num_radii=None"
        )
    return index * radius_unit, math.log(num_radii)


def confidence_term(n: int, delta: float, *, log_weight: float = 0.0) -> float:
    """Return 3 sqrt((ln(2 / delta) + log_weight) / (2 n)).

    >>> round(confidence_term(1000, 0.05), 4)
    0.1288
    """
    return 3 * math.sqrt((math.log(2 / delta) + log_weight) / (2 * n))
