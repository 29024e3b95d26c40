"""Certified complexity of K = J J^T from products with J and J^T: the dual route.

The interval rests on nothing but its last products: a point of the primal problem bounds the value
from above, a point of its dual from below, whatever became of orthogonality on the way there.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float

from kdtheory.complexity.factored_kernel import JacobianProducts
from kdtheory.complexity.golub_kahan import GolubKahan, GolubKahanState, jacobian_norm_bound
from kdtheory.complexity.intervals import Bounds, Keep, OnProduct
from kdtheory.errors import InputError, KernelError

#: Relative size below which singular values count as 0 in the choice of the dual point.
_CUT = 1e-12


class Certificate(NamedTuple):
    """lower <= Y^T (J J^T + ridge I)^-1 Y <= upper; `rounding` is the bound of ||fl(J) - J||."""

    lower: float
    upper: float
    rounding: float


def certificate(
    jacobian: JacobianProducts,
    start: Float[np.ndarray, " N"],
    state: GolubKahanState,
    *,
    ridge: float,
    product_error: float,
) -> Certificate:
    r"""Bound Y^T (J J^T + ridge I)^-1 Y by a primal and a dual point in the state's space.

    Costs one product with J and one pass for both. With r the ridge, any a in R^P and z in R^N:

        (Y^T z)^2 / (||J^T z||^2 + r ||z||^2)  <=  Y^T (J J^T + r I)^-1 Y
                                               <=  ||Y - J a||^2 / r + ||a||^2

    The right side is the ridge regression's objective over r, whose minimum is the value; the left
    is Cauchy and Schwarz. With the best a in the span of v_1..v_k the right side is the Gauss-Radau
    rule with its node at the ridge, with the best z in that of Y, J v_1, ..., J v_k the left is the
    Gauss rule of k + 1 points (Golub and Meurant 2010).

    Rounding. a and z are what they are as stored; J a and J^T z are off by at most
    delta = product_error eps ||J|| times their norms. So the root of the right side is off by
    delta ||a|| / sqrt(r), that of the left's denominator by delta ||z||, and either is at most
    delta / sqrt(r) of itself: the relative widening is some 2 product_error eps sqrt(cond), cond =
    ||J||^2 / r, where Lanczos on K pays eps cond. That <J a, z> = <a, J^T z> checks product_error,
    which is raised where the two differ by more.

    Raises:
      KernelError: a product that is not finite.
    """
    dtype, eps = jacobian.dtype, float(np.finfo(jacobian.dtype).eps)
    fine = float(np.finfo(np.float64).eps) * (start.size + state.basis.shape[1])
    steps = len(state.alphas) - 1
    primal = primal_point(state, ridge=ridge)
    weight, dual = _dual_point(state, ridge=ridge, eps=eps)
    a = (primal @ state.basis[:steps]).astype(dtype)
    image = jacobian.matvec(a).astype(np.float64)
    left = start.astype(dtype)
    z, pulled = jacobian.residual(dual @ state.basis[:steps], left, weight)
    z, pulled, a = (values.astype(np.float64) for values in (z, pulled, a))
    if not all(np.isfinite(values).all() for values in (image, z, pulled)):
        raise KernelError("a product with the Jacobian is not finite; compute it again")
    length, width = float(np.linalg.norm(z)), float(np.linalg.norm(a))
    error = product_error * eps
    if length > 0 and width > 0:
        mismatch = abs(float(image @ z) - float(a @ pulled)) / (state.norm * length * width)
        error = max(error, mismatch)
    delta = error * state.norm
    root = math.hypot(float(np.linalg.norm(start - image)) / math.sqrt(ridge), width)
    upper = (root + delta * width / math.sqrt(ridge)) ** 2 * (1 + 4 * fine)
    total = float(np.linalg.norm(start))
    upper = min(upper, total**2 / ridge * (1 + 4 * fine))
    lower = 0.0
    if length > 0:
        overlap = float(start @ z) - fine * total * length
        energy = math.hypot(float(np.linalg.norm(pulled)), math.sqrt(ridge) * length)
        lower = (max(overlap, 0.0) / (energy + delta * length)) ** 2 * (1 - 4 * fine)
    return Certificate(lower, upper, delta)


def primal_point(state: GolubKahanState, *, ridge: float) -> Float[np.ndarray, " k"]:
    """Return p for which a = V^T p minimises ||Y - J a||^2 + ridge ||a||^2 in the state's space.

    Least squares in the bidiagonal matrix, by orthogonal factors, in float64.
    """
    steps = len(state.alphas) - 1
    if not steps:
        return np.zeros(0)
    # B: J V_k = U_{k+1} B.
    bidiagonal = np.diag(state.betas[1:], -1)[:, :steps]
    bidiagonal += np.eye(steps + 1, steps) * state.alphas[:-1]
    target = np.zeros(2 * steps + 1)
    target[0] = state.betas[0]
    stacked = np.concatenate([bidiagonal, math.sqrt(ridge) * np.eye(steps)])
    return scipy.linalg.lstsq(stacked, target, check_finite=False)[0]


def _dual_point(
    state: GolubKahanState, *, ridge: float, eps: float
) -> tuple[float, Float[np.ndarray, " k"]]:
    """Return (c, q) for which z = c Y + J V^T q is the best dual point in the state's space."""
    alphas, betas = state.alphas, state.betas
    steps = len(alphas) - 1
    root = math.sqrt(ridge)
    # Columns of [||Y|| e_1, B], upper bidiagonal: Y, J v_1, ..., J v_k in U.
    right = np.diag(betas) + np.diag(alphas[:-1], 1)
    # Maximise (Y^T z)^2 / (||J^T z||^2 + ridge ||z||^2) over z = U R x; J^T U = V L^T. The last
    # rows weigh what rounding of J V q, with its own unit eps ||J||, would add.
    lower = np.diag(alphas) + np.diag(betas[1:], -1)
    penalty = eps * state.norm * math.hypot(0.1 * state.norm, root)
    rows = np.concatenate([lower.T @ right, root * right, penalty * np.eye(steps + 1)])
    scale = np.linalg.norm(rows, axis=0)
    # Energy ||S x||^2 and overlap b^T x are best at S^T S x = b, which is least squares in S: b is
    # S^T t. Directions that rounding leaves of the space are cut off.
    goal = np.zeros(len(rows))
    goal[steps + 1] = betas[0] / root
    solution = scipy.linalg.lstsq(rows / scale, goal, cond=_CUT, check_finite=False)[0] / scale
    solution *= state.betas[0] / np.linalg.norm(solution)
    return float(solution[0]), solution[1:]


def _go(
    process: GolubKahan,
    start: Float[np.ndarray, " N"],
    jacobian: JacobianProducts,
    *,
    ridge: float,
    gap: float,
    limit: int,
    product_error: float,
    on_look: Callable[[int, float, float], None],
) -> Bounds:
    """Iterate until the certified gap is reached, or cannot be."""
    eps = float(np.finfo(jacobian.dtype).eps)
    lower, upper, allowed = 0.0, math.inf, math.inf
    next_look = process.steps
    while True:
        last = process.exhausted or process.steps + 1 >= limit
        if process.steps >= next_look or last:
            next_look = process.steps + 1 + process.steps // 20
            gauss, radau = _rules(process, ridge=ridge)
            pure = radau - gauss
            on_look(process.steps + 1, gauss, radau)
            widening = 4 * product_error * eps * process.norm / math.sqrt(ridge) * gauss
            near = pure + widening <= gap * gauss or pure <= 0.01 * widening
            if last or (near and pure <= allowed):
                found = certificate(
                    jacobian,
                    start,
                    process.state._replace(norm=process.norm),
                    ridge=ridge,
                    product_error=product_error,
                )
                # Each is an interval in its own right: the value is in both.
                lower, upper = max(lower, found.lower), min(upper, found.upper)
                width, rounding = upper - lower, 2 * found.rounding * process.norm
                if width <= gap * lower:
                    return Bounds(lower, upper, rounding, "gap", process.steps + 1)
                if process.exhausted or pure <= 0.01 * width:
                    return Bounds(lower, upper, rounding, "rounding", process.steps + 1)
                if last:
                    return Bounds(lower, upper, rounding, "max_products", process.steps + 1)
                # Another would not be narrower before the rules have come closer as well.
                allowed = pure / 4
        process.advance()


def _rules(process: GolubKahan, *, ridge: float) -> tuple[float, float]:
    """Return the Gauss and Gauss-Radau rules of the bidiagonal matrix, without widening.

    With L the lower bidiagonal square of alphas and betas, the pivots of L L^T + ridge are
    alpha_i^2 + s_i with s_1 = ridge and s_{i+1} = ridge + beta_{i+1}^2 s_i / pivot_i, and s is also
    what they exceed those of L L^T by: sums of positive terms throughout.
    """
    alphas, betas = process.alphas, process.betas
    excess = ridge
    pivot = alphas[0] ** 2 + excess
    gauss = increment = 1 / pivot
    radau = 1 / ridge
    for alpha, following, beta in zip(alphas[:-1], alphas[1:], betas[1:], strict=True):
        grown = increment * (alpha * beta) ** 2 / pivot
        excess = ridge + beta**2 * excess / pivot
        radau = gauss + grown / excess
        pivot = following**2 + excess
        increment = grown / pivot
        gauss += increment
    return betas[0] ** 2 * gauss, betas[0] ** 2 * radau


def bound_dual(
    jacobian: JacobianProducts,
    columns: Float[np.ndarray, "N k"],
    *,
    ridge: float,
    largest_eigenvalue: float | None,
    gap: float,
    limit: int,
    product_error: float,
    states: Sequence[GolubKahanState | None],
    on_product: OnProduct,
    keep: Keep,
) -> tuple[list[Bounds], tuple[GolubKahanState | None, ...]]:
    """Bound the complexity of each column in turn; see `certificate` for the rule.

    Args:
      jacobian: J.
      columns: targets, float64.
      ridge: > 0.
      largest_eigenvalue: at or above ||J||^2; None: `golub_kahan.jacobian_norm_bound`, by some
        passes more.
      gap: relative.
      limit: products for each.
      product_error: in eps.
      states: to go on from.
      on_product: called with (set, products, Gauss, Gauss-Radau), the rules without rounding.
      keep: called with a function that returns all states; it decides itself when to store.

    Raises:
      InputError: states of other targets.
      KernelError: products that are not finite.
    """
    norm = None if largest_eigenvalue is None else math.sqrt(largest_eigenvalue)
    kept = list(states)
    results = []
    for index, column in enumerate(columns.T):
        if not column.any():
            results.append(Bounds(0.0, 0.0, 0.0, "gap", 0))
            continue
        state = states[index]
        if state is None and norm is None:
            norm = jacobian_norm_bound(jacobian)
        process = _begin(jacobian, column, state, norm=norm or 0.0)

        def look(
            products: int,
            gauss: float,
            radau: float,
            index: int = index,
            process: GolubKahan = process,
        ) -> None:
            on_product(index, products, gauss, radau)
            keep(lambda: (*kept[:index], process.state, *kept[index + 1 :]))

        results.append(
            _go(
                process,
                column,
                jacobian,
                ridge=ridge,
                gap=gap,
                limit=limit,
                product_error=product_error,
                on_look=look,
            )
        )
        kept[index] = process.state
    return results, tuple(kept)


def _begin(
    jacobian: JacobianProducts,
    column: np.ndarray,
    state: GolubKahanState | None,
    *,
    norm: float,
) -> GolubKahan:
    if state is None:
        return GolubKahan(jacobian, column, norm=norm)
    fits = state.basis.shape[1] == jacobian.shape[1] and state.left.shape == column.shape
    if not fits or not math.isclose(state.betas[0], float(np.linalg.norm(column)), rel_tol=1e-6):
        raise InputError("states belong to other targets: give those they were made from")
    return GolubKahan.resume(jacobian, state)
