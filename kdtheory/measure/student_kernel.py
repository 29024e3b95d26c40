"""The measurements at one point of a student's training."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from kdtheory.analysis import margins
from kdtheory.complexity import Factor, factorize
from kdtheory.errors import KernelError
from kdtheory.ntk import gram
from kdtheory.runs.config import RunConfig
from kdtheory.targets import centre, residual
from kdtheory.typing import ApplyFn, Variables


class StudentKernel(NamedTuple):
    """A student's kernel on the measuring examples, factorised."""

    factor: Factor
    trace_kernel: Float[np.ndarray, "n n"]
    """Summed over outputs: what the similarity with the teacher compares."""


class SupervisionComplexity(NamedTuple):
    """Complexity of one supervision and what belongs to it; the fields of a row."""

    complexity: float
    adjusted_complexity: float
    margin: float
    trace: float
    ridge: float
    condition: float
    residual: float


def trace_of_full(full: Float[np.ndarray, "N N"], num_outputs: int) -> Float[np.ndarray, "n n"]:
    """Return the (n, n) kernel summed over outputs of an (n d, n d) example-major kernel.

    >>> trace_of_full(np.eye(4), 2).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    n = len(full) // num_outputs
    return np.einsum("iaja->ij", full.reshape(n, num_outputs, n, num_outputs))


def student_kernel(
    apply_fn: ApplyFn,
    variables: Variables,
    images: np.ndarray,
    config: RunConfig,
    num_outputs: int,
    on_tile: Callable[[int, int], None] | None = None,
) -> StudentKernel:
    """Compute and factorise a student's kernel, with the ridge of the configuration.

    Raises:
      KernelError: the kernel is singular at its precision; the message names the flag to change.
    """
    outputs = "full" if config.measuring.kernel == "full" else "trace"
    kernel = gram(
        apply_fn,
        variables,
        images,
        outputs=outputs,
        method=config.measuring.ntk_method,
        batch_size=config.measuring.ntk_batch_size,
        dtype=config.measuring.ntk_dtype,
        on_tile=on_tile,
    )
    if config.measuring.kernel == "full":
        trace_kernel = trace_of_full(kernel, num_outputs)
    else:
        trace_kernel = kernel
        kernel = kernel / kernel.dtype.type(num_outputs)
    ridge = config.measuring.ridge * float(np.trace(kernel, dtype=np.float64)) / len(kernel)
    try:
        factor = factorize(
            kernel, ridge=ridge, num_outputs=num_outputs if config.measuring.kernel == "full" else 1
        )
    except KernelError as error:
        raise KernelError(
            f"{error} (the run's --ridge is a multiple of the mean diagonal: raise it from "
            f"{config.measuring.ridge:g}, or use --ntk-dtype float64)"
        ) from error
    return StudentKernel(factor, trace_kernel)


def transform_targets(
    targets: Float[np.ndarray, "n d"],
    initial_logits: Float[np.ndarray, "n d"],
    config: RunConfig,
) -> Float[np.ndarray, "n d"]:
    """Return targets centred, or relative to the initial predictions, as configured."""
    result = targets
    if config.measuring.residual_targets:
        result = np.asarray(residual(result, initial_logits))
    if config.measuring.centre_targets:
        result = np.asarray(centre(result))
    return result


def measure_supervisions(
    kernel: StudentKernel,
    targets: Sequence[Float[np.ndarray, "n d"]],
    labels: Int[np.ndarray, " n"],
    initial_logits: Float[np.ndarray, "n d"],
    config: RunConfig,
) -> list[SupervisionComplexity]:
    """Return the complexity of every supervision, from one factorisation.

    With `kernel="trace"` each output has the same kernel, the mean over outputs, and the outputs do
    not interact: C is the sum over outputs of Y_a^T K^-1 Y_a and the trace is d Tr K.
    """
    used = np.stack([transform_targets(target, initial_logits, config) for target in targets])
    count, n, d = used.shape
    factor = kernel.factor
    if config.measuring.kernel == "full":
        values = factor.complexity(used)
        complexity, adjusted, misfit = values.complexity, values.adjusted, values.residual
        trace = values.trace
    else:
        values = factor.complexity(used.transpose(0, 2, 1).reshape(count * d, n))
        complexity = np.reshape(values.complexity, (count, d)).sum(axis=1)
        trace = d * values.trace
        adjusted = np.sqrt(complexity * trace) / n
        misfit = np.reshape(values.residual, (count, d)).max(axis=1)
    return [
        SupervisionComplexity(
            complexity=float(np.ravel(complexity)[i]),
            adjusted_complexity=float(np.ravel(adjusted)[i]),
            margin=float(np.mean(margins(target, labels))),
            trace=float(trace),
            ridge=float(values.ridge),
            # An estimate, and a rounding error: their further digits are noise, and differ between
            # processes where nothing else does.
            condition=float(f"{values.condition:.3g}"),
            residual=float(f"{np.ravel(misfit)[i]:.1g}"),
        )
        for i, target in enumerate(targets)
    ]
