"""Supervision complexity for a network at its parameters: exact where that fits, else certified."""

import dataclasses
import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, overload

import jax
import numpy as np
from jaxtyping import Int, Real

from kdtheory.analysis import margins
from kdtheory.arguments import as_array
from kdtheory.complexity.intervals import OnProduct
from kdtheory.complexity.kernel_checks import real_array
from kdtheory.complexity.stacks import refuse_class_indices
from kdtheory.errors import InputError
from kdtheory.measure.certified_kernel import CertifiedKernel
from kdtheory.measure.exact_kernel import ExactKernel, exact_kernel
from kdtheory.measure.spec import KernelSpec
from kdtheory.measure.values import SupervisionComplexity
from kdtheory.memory import check_fits, factorising_bytes
from kdtheory.ntk import gram, operator
from kdtheory.ntk.fingerprint import array_hash
from kdtheory.ntk.inputs import as_inputs, cast, settings
from kdtheory.typing import AnyArray, ApplyFn, ArrayLike, Variables

#: What complexities are taken from.
MeasuredKernel: TypeAlias = ExactKernel | CertifiedKernel


def measured_kernel(
    apply_fn: ApplyFn,
    variables: Variables,
    x: ArrayLike,
    spec: KernelSpec,
    *,
    keep_matrix: bool = False,
    on_tile: Callable[[int, int], None] | None = None,
    on_product: OnProduct | None = None,
) -> MeasuredKernel:
    """Return a network's kernel, ready for any number of targets: the one door to both ways.

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d), as for `kdtheory.ntk.gram`.
      variables: {"params": ..., ...}.
      x: inputs of shape (n, ...).
      spec: which kernel, which ridge, and what it may take.
      keep_matrix: keep K besides its factor.
      on_tile: called with (tiles done, tiles in all) of a kernel that is formed.
      on_product: called with the narrowing bounds of one that is not.

    Raises:
      InputError: as `kdtheory.ntk.gram`; a kernel of outputs="trace" that does not fit in memory,
        for which there are no products; no ridge where one is needed.
      KernelError: a kernel whose inverse cannot be trusted.
    """
    num_outputs = num_outputs_of(apply_fn, variables, x)
    rows = spec.rows(len(x), num_outputs)
    folder = None
    if spec.store is not None:
        with settings(None, variables):
            leaves = (np.asarray(leaf) for leaf in jax.tree.leaves(dict(variables)))
            folder = Path(spec.store) / array_hash(*leaves, np.asarray(x))
    make = functools.partial(
        gram,
        apply_fn,
        variables,
        x,
        method=spec.method,
        batch_size=spec.batch_size,
        dtype=spec.dtype,
        memory_budget=spec.working_memory(rows),
        mesh=spec.mesh(),
        on_tile=on_tile,
    )
    if spec.is_exact(rows):
        tiles = None if folder is None else folder / "tiles"
        kernel = exact_kernel(
            make(outputs=spec.outputs, store=tiles),
            spec,
            num_outputs=num_outputs,
            keep_matrix=keep_matrix,
        )
        if tiles is not None:
            shutil.rmtree(tiles, ignore_errors=True)
        return kernel
    if spec.outputs == "trace":
        check_fits(
            f"the trace kernel of {rows:,} rows",
            factorising_bytes(rows),
            "take fewer examples, or the full kernel, whose complexity is bounded where it does "
            "not fit",
            budget=spec.memory_budget,
        )
    return CertifiedKernel(
        operator(
            apply_fn,
            variables,
            x,
            outputs=spec.outputs,
            method="neural_tangents" if spec.method == "neural_tangents" else "auto",
            dtype=spec.dtype,
        ),
        spec,
        trace_gram=functools.partial(make, outputs="trace", memory_budget=spec.memory_budget),
        folder=folder,
        on_product=on_product,
    )


def num_outputs_of(apply_fn: ApplyFn, variables: Variables, x: ArrayLike) -> int:
    """Return d of a network's logits (n, d), from their shape alone."""
    with settings(None, variables) as dtype:
        one = as_inputs("x", x, dtype)[:1]
        logits = jax.eval_shape(apply_fn, cast(variables, dtype), one)
    if logits.ndim != 2:
        raise InputError(f"logits must have shape (n, d); the network's are {logits.shape}")
    return int(logits.shape[1])


@overload
def supervision_complexity(
    apply_fn: ApplyFn,
    variables: Variables,
    x: ArrayLike,
    targets: Mapping[str, AnyArray],
    *,
    ridge: float | None = None,
    labels: Int[ArrayLike, " n"] | None = None,
    spec: KernelSpec | None = None,
) -> dict[str, SupervisionComplexity]: ...


@overload
def supervision_complexity(
    apply_fn: ApplyFn,
    variables: Variables,
    x: ArrayLike,
    targets: AnyArray,
    *,
    ridge: float | None = None,
    labels: Int[ArrayLike, " n"] | None = None,
    spec: KernelSpec | None = None,
) -> SupervisionComplexity: ...


def supervision_complexity(
    apply_fn: ApplyFn,
    variables: Variables,
    x: ArrayLike,
    targets: Mapping[str, AnyArray] | AnyArray,
    *,
    ridge: float | None = None,
    labels: Int[ArrayLike, "..."] | None = None,
    spec: KernelSpec | None = None,
) -> SupervisionComplexity | dict[str, SupervisionComplexity]:
    """Return how complex targets are for a network: Y^T (K + lambda I)^-1 Y, K its NTK on x.

    The value is exact where the kernel and its factor fit in memory; else it is an interval that is
    certain to hold it. All sets of targets share one kernel.

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d); a Flax linen `model.apply` is one. It must
        treat examples independently: BatchNorm in inference mode, no dropout.
      variables: {"params": ..., "batch_stats": ...}, at initialisation or of any checkpoint.
      x: inputs of shape (n, ...), as the network sees them.
      targets: one set, of shape (n, d), or (n,) where d = 1; or several by name.
      ridge: lambda in units of the mean of K's diagonal; None takes 0.001, or what `spec` says.
      labels: classes, shape (n,), for the targets' margin.
      spec: everything else: outputs, precision, memory, devices, an absolute ridge.

    Returns:
      One `SupervisionComplexity`, or one by each name.

    Raises:
      InputError: targets or labels that do not fit the network's logits, and as `ntk.gram`.
      KernelError: a kernel whose inverse cannot be trusted at this ridge.

    >>> import flax.linen as nn
    >>> model, x = nn.Dense(1, use_bias=False), np.eye(2, dtype=np.float32)
    >>> variables = model.init(jax.random.key(0), x)
    >>> targets = {"labels": np.array([1.0, -1.0]), "teacher": np.array([0.5, -0.5])}
    >>> found = supervision_complexity(model.apply, variables, x, targets, ridge=1.0,
    ...                                labels=np.array([1, 0]))
    >>> [f"{one.complexity:.3f} {one.over_rms:.3f} {one.margin}" for one in found.values()]
    ['1.000 0.707 1.0', '0.250 0.707 0.5']
    """
    spec = specified(spec, ridge)
    named = targets if isinstance(targets, Mapping) else {"targets": targets}
    if not named:
        raise InputError("no targets are given")
    num_outputs = num_outputs_of(apply_fn, variables, x)
    if spec.outputs == "sum":
        num_outputs = 1
    sets = [shaped(name, values, len(x), num_outputs) for name, values in named.items()]
    labels = checked_labels(labels, len(x))
    if labels is not None:
        # Wrong labels cost no kernel.
        margins(sets[0], labels)
    kernel = measured_kernel(apply_fn, variables, x, spec)
    found = with_margins(kernel.complexities(sets), sets, labels)
    results = dict(zip(named, found, strict=True))
    return results if isinstance(targets, Mapping) else results["targets"]


def specified(spec: KernelSpec | None, ridge: float | None) -> KernelSpec:
    """Return a specification with a ridge that is given beside it.

    Raises:
      InputError: the ridge is given twice.

    >>> specified(None, 0.1).ridge
    0.1
    """
    spec = KernelSpec() if spec is None else spec
    if ridge is None:
        return spec
    if spec.ridge is not None or spec.ridge_absolute is not None:
        raise InputError("the ridge is given twice: as ridge, and in spec")
    return dataclasses.replace(spec, ridge=ridge)


def checked_labels(labels: AnyArray | None, num_examples: int) -> Int[np.ndarray, " n"] | None:
    """Return classes as a NumPy array, one an example; None for none.

    Raises:
      InputError: another number of them.
    """
    if labels is None:
        return None
    array = as_array("labels", labels)
    if array.shape != (num_examples,):
        raise InputError(f"labels must have shape ({num_examples},), got {array.shape}")
    return array


def shaped(name: str, values: AnyArray, n: int, d: int) -> np.ndarray:
    """Return one set of targets as (n, d) in float64.

    Raises:
      InputError: another shape, entries that are not finite, or class indices.

    >>> shaped("labels", np.ones(3), 3, 1).shape
    (3, 1)
    """
    array = real_array(f"targets {name!r}", values, InputError)
    if array.shape != (n, d) and not (d == 1 and array.shape == (n,)):
        allowed = f"({n}, {d})" if d > 1 else f"({n},) or ({n}, 1)"
        raise InputError(f"targets {name!r} must have shape {allowed}, got {array.shape}")
    if d == 1:
        refuse_class_indices(array)
    if not np.isfinite(array).all():
        raise InputError(f"targets {name!r} have entries that are not finite")
    return array.reshape(n, d).astype(np.float64)


def with_margins(
    found: Sequence[SupervisionComplexity],
    targets: Sequence[Real[np.ndarray, "n d"]],
    labels: Int[ArrayLike, " n"] | None,
) -> list[SupervisionComplexity]:
    """Return the measurements with each set of targets' mean margin on the labels."""
    if labels is None:
        return list(found)
    return [
        one._replace(margin=float(np.mean(margins(values, labels))))
        for one, values in zip(found, targets, strict=True)
    ]
