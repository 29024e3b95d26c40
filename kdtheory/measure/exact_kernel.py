"""A kernel that is formed and factorised once, for any number of targets."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Real

from kdtheory.complexity import Factor, factorize
from kdtheory.errors import KernelError
from kdtheory.measure.spec import DEFAULT_RIDGE, KernelSpec
from kdtheory.measure.values import SupervisionComplexity, exactly, root_mean_square, stacked


class ExactKernel:
    """K + lambda I, factorised.

    Attributes:
      factor: of the (n d, n d) kernel, or of the (n, n) one that every output has ("trace").
      num_outputs: d of the targets that it takes.
      shared: whether every output has this kernel for itself.
      trace_kernel: (n, n), summed over outputs: what kernels of two networks are compared by; None
        for a kernel that is no network's.
      matrix: K as it was given, where it was to be kept.
    """

    def __init__(
        self,
        factor: Factor,
        *,
        num_outputs: int,
        shared: bool,
        trace_kernel: Float[np.ndarray, "n n"] | None = None,
        matrix: Real[np.ndarray, "N N"] | None = None,
    ) -> None:
        self.factor = factor
        self.num_outputs = num_outputs
        self.trace_kernel = trace_kernel
        self.matrix = matrix
        self.shared = shared

    @property
    def ridge(self) -> float:
        """lambda, in the unit of K."""
        return self.factor.ridge

    def complexities(
        self, targets: Sequence[Real[np.ndarray, "n d"]]
    ) -> list[SupervisionComplexity]:
        """Return the complexity of every set of targets, from the one factorisation.

        With outputs="trace" C is the sum over outputs of Y_a^T (K + lambda I)^-1 Y_a, and the trace
        is d Tr K.

        Raises:
          InputError: targets of another shape, or not finite.
        """
        used = stacked(targets)
        count, n, d = used.shape
        if self.shared:
            values = self.factor.complexity(used.transpose(0, 2, 1).reshape(count * d, n))
            complexity = np.reshape(values.complexity, (count, d)).sum(axis=1)
            trace = d * values.trace
            adjusted = np.sqrt(complexity * trace) / n
            residual = np.reshape(values.residual, (count, d)).max(axis=1)
        else:
            values = self.factor.complexity(used)
            complexity, adjusted = np.ravel(values.complexity), np.ravel(values.adjusted)
            residual, trace = np.ravel(values.residual), values.trace
        return [
            SupervisionComplexity(
                complexity=exactly(complexity[i]),
                adjusted=exactly(adjusted[i]),
                rms=root_mean_square(used[i]),
                margin=None,
                trace=float(trace),
                ridge=float(values.ridge),
                condition=values.condition,
                residual=float(residual[i]),
            )
            for i in range(count)
        ]

    def fitted(self, targets: Sequence[Real[np.ndarray, "n d"]]) -> list[np.ndarray]:
        """Return the kernel predictor's values K (K + lambda I)^-1 Y on its own examples."""
        used = stacked(targets).astype(np.float64)
        if self.shared:
            count, n, d = used.shape
            columns = used.transpose(0, 2, 1).reshape(count * d, n)
            solved = self.factor.solve(columns).reshape(count, d, n).transpose(0, 2, 1)
        else:
            solved = self.factor.solve(used)
        return list(used - self.ridge * solved)


def exact_kernel(
    kernel: Real[np.ndarray, "..."],
    spec: KernelSpec,
    *,
    num_outputs: int,
    keep_matrix: bool = False,
) -> ExactKernel:
    """Factorise a kernel of `spec.outputs`, with its ridge.

    Args:
      kernel: (n d, n d) example-major for outputs="full"; (n, n) for "sum", and for "trace" summed
        over the outputs.
      spec: outputs and ridge.
      num_outputs: d of the network.
      keep_matrix: keep K besides its factor.

    Raises:
      KernelError: the kernel is singular at its precision; the message names the flag to change.
    """
    shared = spec.outputs == "trace"
    full = spec.outputs == "full"
    trace_kernel = trace_of_full(kernel, num_outputs) if full else kernel
    if shared:
        kernel = kernel / kernel.dtype.type(num_outputs)
    factor = factorize_with(spec, kernel, num_outputs=num_outputs if full else 1)
    return ExactKernel(
        factor,
        num_outputs=1 if spec.outputs == "sum" else num_outputs,
        shared=shared,
        trace_kernel=trace_kernel,
        matrix=kernel if keep_matrix else None,
    )


def factorize_with(
    spec: KernelSpec, kernel: Real[np.ndarray, "..."], *, num_outputs: int | None
) -> Factor:
    """Return the factor of K + lambda I, lambda as the specification says.

    Raises:
      KernelError: not a kernel, or singular at its precision; the message names the flag to change.
    """
    square = kernel.ndim == 2 and kernel.shape[0] == kernel.shape[1] > 0
    trace = float(np.trace(kernel, dtype=np.float64)) if square else np.nan
    # Without a trace it is no kernel, and `factorize` says why.
    ridge = spec.lambda_of(trace=trace, rows=len(kernel)) if np.isfinite(trace) else 0.0
    try:
        return factorize(kernel, ridge=max(ridge, 0.0), num_outputs=num_outputs)
    except KernelError as error:
        if spec.ridge_absolute is not None or not square:
            raise
        fraction = DEFAULT_RIDGE if spec.ridge is None else spec.ridge
        raise KernelError(
            f"{error} (--ridge is a multiple of the mean diagonal: raise it from {fraction:g}, or "
            "use float64)"
        ) from error


def trace_of_full(full: Float[np.ndarray, "N N"], num_outputs: int) -> Float[np.ndarray, "n n"]:
    """Return the (n, n) kernel summed over outputs of an (n d, n d) example-major kernel.

    >>> trace_of_full(np.eye(4), 2).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    n = len(full) // num_outputs
    return np.einsum("iaja->ij", full.reshape(n, num_outputs, n, num_outputs))
