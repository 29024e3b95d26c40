"""What `kdtheory complexity` prints: complexity, adjusted complexity and margins."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Real

from kdtheory.analysis import margins
from kdtheory.complexity import (
    certify,
    condition_estimate,
    eigendecompose,
    factorize,
    fitted_values,
    ritz_energy,
)
from kdtheory.complexity.intervals import OnProduct
from kdtheory.complexity.stacks import stack_targets
from kdtheory.ntk import NtkOperator
from kdtheory.typing import ArrayLike

#: Outputs up to which a trace is computed exactly, at one backward pass each; Hutchinson's estimate
#: takes this many probes.
_EXACT_OUTPUTS, _PROBES = 10, 16


class SpectrumLines(NamedTuple):
    """A spectrum to draw, descending; for k sets of targets.

    - `eigenvalues`: shape (m,), or (k, m) for Ritz values, which depend on the targets.
    - `energy`: of the targets, shape (k, m); each row sums to ||Y||^2.
    - `exact`: eigenvalues, not Ritz values.
    """

    eigenvalues: np.ndarray
    energy: np.ndarray
    exact: bool


class KernelValues(NamedTuple):
    """Values by name, as JSON's types, and the spectrum where it was asked for."""

    values: dict[str, Any]
    spectrum: SpectrumLines | None


def dense_values(
    kernel: Real[ArrayLike, "..."],
    targets: Real[ArrayLike, "..."],
    *,
    ridge: float,
    num_outputs: int | None,
    spectrum: bool,
) -> KernelValues:
    """Return the exact values, by Cholesky, and the spectrum by eigendecomposition.

    Raises:
        InputError: targets that do not fit.
        KernelError: a kernel whose inverse cannot be trusted.
    """
    factor = factorize(kernel, ridge=ridge, num_outputs=num_outputs)
    result = factor.complexity(targets)
    stack = stack_targets(targets, size=factor.size, num_outputs=num_outputs)
    solved = factor.solve(targets).reshape(-1, factor.size)
    fitted = stack.columns.T - ridge * solved
    lines = None
    if spectrum:
        decomposed = eigendecompose(kernel, num_outputs=num_outputs)
        energy = decomposed.energy(targets).reshape(-1, factor.size)
        lines = SpectrumLines(decomposed.eigenvalues, energy, exact=True)
    values = {
        **result._asdict(),
        **margins_of(fitted, stack.columns.T, stack.num_examples, stacked=stack.stacked),
        "num_outputs": factor.size // stack.num_examples,
        "n": stack.num_examples,
    }
    return KernelValues(_json_types(values), lines)


def operator_values(
    kernel: NtkOperator,
    targets: Real[ArrayLike, "..."],
    *,
    ridge: float,
    relative_gap: float,
    max_products: int,
    seed: int,
    on_product: OnProduct | None = None,
) -> KernelValues:
    """Return certified intervals from products alone, and the spectrum as the iteration saw it.

    The trace is exact for few outputs, else an estimate with a standard error that is stated.

    Raises:
        InputError: targets that do not fit, no ridge.
        KernelError: products that are not finite.
    """
    result = certify(
        kernel,
        targets,
        ridge=ridge,
        relative_gap=relative_gap,
        max_products=max_products,
        on_product=on_product,
    )
    size = kernel.shape[0]
    stack = stack_targets(targets, size=size, num_outputs=kernel.num_outputs)
    trace: dict[str, float] = {}
    if kernel.num_outputs <= _EXACT_OUTPUTS:
        trace["trace"] = kernel.trace()
    else:
        estimate = kernel.estimate_trace(jax.random.key(seed), probes=_PROBES)
        trace = {"trace": estimate.value, "trace_standard_error": estimate.standard_error}
    adjusted = result.adjusted(trace=max(trace["trace"], 0.0), num_examples=stack.num_examples)
    sets = list(zip(stack.columns.T, result.states, strict=True))
    fitted = np.stack([fitted_values(kernel, y, state, ridge=ridge) for y, state in sets])
    conditions = [condition_estimate(state, ridge=ridge) for _, state in sets if state is not None]
    values = {
        "lower": result.lower,
        "upper": result.upper,
        "relative_gap": result.relative_gap,
        "adjusted_lower": adjusted[0],
        "adjusted_upper": adjusted[1],
        **trace,
        "ridge": ridge,
        "condition": max(conditions, default=1.0),
        "products": result.products,
        "stopped": result.stopped,
        "route": result.route,
        **margins_of(fitted, stack.columns.T, stack.num_examples, stacked=stack.stacked),
        "num_outputs": kernel.num_outputs,
        "n": stack.num_examples,
    }
    return KernelValues(_json_types(values), _ritz_lines(sets, ridge=ridge))


def margins_of(
    fitted: Float[np.ndarray, "k N"],
    targets: Float[np.ndarray, "k N"],
    num_examples: int,
    *,
    stacked: bool,
) -> dict[str, Any]:
    """Return smallest and mean margin, and the share not above 0, of predictions on targets.

    The labels are the targets' own decisions: their largest output, or their sign.

    >>> one = margins_of(np.array([[0.5, -0.2]]), np.array([[1.0, 1.0]]), 2, stacked=False)
    >>> one["smallest_margin"], round(one["mean_margin"], 6), one["errors"]
    (-0.2, 0.15, 0.5)
    """
    rows = []
    for one, wanted in zip(fitted, targets, strict=True):
        logits, aims = one.reshape(num_examples, -1), wanted.reshape(num_examples, -1)
        labels = aims.argmax(axis=1) if aims.shape[1] > 1 else (aims[:, 0] > 0).astype(int)
        found = margins(logits, labels)
        rows.append((found.min(), found.mean(), np.mean(found <= 0)))
    columns = np.array(rows).T
    names = ("smallest_margin", "mean_margin", "errors")
    return {
        name: column if stacked else float(column[0])
        for name, column in zip(names, columns, strict=True)
    }


def _ritz_lines(sets: list[tuple[np.ndarray, Any]], *, ridge: float) -> SpectrumLines | None:
    energies = [ritz_energy(state, ridge=ridge) for _, state in sets if state is not None]
    if not energies:
        return None
    most = max(len(one.eigenvalues) for one in energies)

    def filled(rows: list[np.ndarray]) -> np.ndarray:
        return np.stack([np.pad(r, (0, most - len(r)), constant_values=np.nan) for r in rows])

    return SpectrumLines(
        filled([one.eigenvalues for one in energies]),
        filled([one.energy for one in energies]),
        exact=False,
    )


def _json_types(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, str) else np.asarray(value).tolist()
        for name, value in values.items()
    }
