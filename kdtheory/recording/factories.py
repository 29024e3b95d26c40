"""Recorders of a JAX function, and of kernels that another framework computed."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Num

from kdtheory.arguments import as_array
from kdtheory.complexity.intervals import OnProduct
from kdtheory.errors import InputError
from kdtheory.measure.exact_kernel import exact_kernel
from kdtheory.measure.network_kernel import measured_kernel, num_outputs_of, specified
from kdtheory.measure.spec import KernelSpec
from kdtheory.ntk.fingerprint import array_hash, model_hash
from kdtheory.ntk.inputs import settings
from kdtheory.recording.recorder import ComplexityRecorder, Prepared
from kdtheory.typing import AnyArray, ApplyFn, ArrayLike, Variables


def complexity_recorder(
    apply_fn: ApplyFn,
    x: ArrayLike,
    targets: Mapping[str, AnyArray],
    *,
    labels: AnyArray | None = None,
    ridge: float | None = None,
    spec: KernelSpec | None = None,
    on_tile: Callable[[int, int], None] | None = None,
    on_product: OnProduct | None = None,
) -> ComplexityRecorder:
    """Return a recorder that is called with (step, variables) of a network in training.

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d) in inference mode, of independent examples;
        a Flax linen `model.apply` is one, `models.from_nnx` gives an NNX module's.
      x: inputs of shape (n, ...), as the network sees them: the same at every step.
      targets: sets by name, each (n, d), or (n,) where d = 1; any arrays that NumPy or DLPack
        takes, PyTorch's too.
      labels: classes, shape (n,), for the targets' margin.
      ridge: lambda in units of the mean of K's diagonal; None takes 0.001, or what `spec` says.
      spec: everything else: outputs, precision, memory, an absolute ridge; in its `store` what was
        measured is kept, and not measured again by a training or a command that was killed.
      on_tile: called with (tiles done, tiles in all) of each kernel that is formed.
      on_product: called with the narrowing bounds of one that is not.

    Raises:
      InputError: labels of another number than the inputs, or targets that are no numbers.

    >>> import flax.linen as nn
    >>> model, x = nn.Dense(1, use_bias=False), np.eye(2, dtype=np.float32)
    >>> record = complexity_recorder(model.apply, x, {"labels": np.array([1.0, -1.0])}, ridge=1.0)
    >>> for step in (0, 10):
    ...   found = record(step, model.init(jax.random.key(step), x))
    >>> [(row["step"], row["targets"], round(row["complexity"], 3)) for row in record.rows()]
    [(0, 'labels', 1.0), (10, 'labels', 1.0)]
    """
    used = specified(spec, ridge)

    def prepare(variables: Variables) -> Prepared:
        def fingerprint() -> str:
            with settings(None, variables):
                inputs = np.asarray(x)
                leaves = (np.asarray(leaf) for leaf in jax.tree.leaves(dict(variables)))
                return f"{model_hash(apply_fn, variables, inputs)}-{array_hash(*leaves, inputs)}"

        return Prepared(
            1 if used.outputs == "sum" else num_outputs_of(apply_fn, variables, x),
            lambda: measured_kernel(
                apply_fn, variables, x, used, on_tile=on_tile, on_product=on_product
            ),
            fingerprint,
        )

    return ComplexityRecorder(prepare, len(x), targets, labels=labels, spec=used)


def kernel_recorder(
    targets: Mapping[str, AnyArray],
    *,
    labels: AnyArray | None = None,
    ridge: float | None = None,
    spec: KernelSpec | None = None,
) -> ComplexityRecorder:
    """Return a recorder that is called with (step, K) of kernels from elsewhere.

    K is (n d, n d) example-major; or (n, n, d, d), as `torch.func` and neural-tangents give it; or,
    with `spec` of outputs "trace", (n, n) and summed over outputs. Any array that NumPy or DLPack
    takes, a PyTorch tensor too.

    Args:
      targets: sets by name, all (n, d), or all (n,).
      labels: classes, shape (n,), for the targets' margin.
      ridge: lambda in units of the mean of K's diagonal; None takes 0.001, or what `spec` says.
      spec: outputs, an absolute ridge, and the store; the rest is for kernels that are computed.

    Raises:
      InputError: targets of several shapes, or none; labels of another number.

    >>> record = kernel_recorder({"labels": np.array([1.0, -1.0])}, ridge=1.0)
    >>> print(f"{record(5, np.eye(2))['labels'].complexity:.3f}")
    1.000
    """
    used = specified(spec, ridge)
    shapes = sorted({as_array(f"targets {n!r}", values).shape for n, values in targets.items()})
    if len(shapes) != 1 or len(shapes[0]) not in (1, 2):
        got = " and ".join(map(str, shapes)) or "none"
        raise InputError(f"sets of targets must all have one shape, (n, d) or (n,), got {got}")
    n, d = (*shapes[0], 1)[:2]

    def prepare(gram: Any) -> Prepared:
        kernel = _matrix(as_array("the kernel", gram), n, d, used)
        return Prepared(
            d, lambda: exact_kernel(kernel, used, num_outputs=d), lambda: array_hash(kernel)
        )

    return ComplexityRecorder(prepare, n, targets, labels=labels, spec=used)


def _matrix(
    gram: Num[np.ndarray, "..."], n: int, d: int, spec: KernelSpec
) -> Num[np.ndarray, "N N"]:
    """Return a kernel as the matrix that a specification's outputs ask for."""
    if gram.shape == (n, n, d, d):
        gram = gram.transpose(0, 2, 1, 3).reshape(n * d, n * d)
    rows = spec.rows(n, d)
    if gram.shape != (rows, rows):
        of_trace = '; one summed over outputs needs spec=KernelSpec(outputs="trace")'
        raise InputError(
            f"the kernel of targets ({n}, {d}) must have shape ({rows}, {rows}) or "
            f"({n}, {n}, {d}, {d}), got {gram.shape}{of_trace * (gram.shape == (n, n))}"
        )
    return gram
