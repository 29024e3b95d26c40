"""What losses and providers are given: checked where its values are known, and by its shape always.

Inside of compiled code numbers are not known, so only shapes are judged there.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.errors import InputError


def known(value: Any) -> bool:
    """Return whether a value is there to look at: not the case inside of compiled code.

    >>> known(1.0), bool(jax.jit(lambda x: known(x))(1.0))
    (True, False)
    """
    return not isinstance(value, jax.core.Tracer)


def check_temperature(temperature: Any) -> Any:
    """Return the temperature, or raise InputError unless it is above zero and finite.

    >>> check_temperature(4.0)
    4.0
    """
    return _check_number(
        temperature, lambda tau: (tau > 0) & (tau < np.inf),
        "the temperature tau must be above 0 and finite",
    )  # fmt: skip


def check_alpha(alpha: Any) -> Any:
    """Return the teacher's weight, or raise InputError unless it lies in [0, 1].

    >>> check_alpha(0.5)
    0.5
    """
    return _check_number(
        alpha, lambda weight: (weight >= 0) & (weight <= 1),
        "the teacher's weight alpha must lie in [0, 1]",
    )  # fmt: skip


def _check_number(value: Any, allowed: Any, words: str) -> Any:
    """Return a number as a float, and an array as it is; raise InputError unless it is allowed."""
    if not known(value):
        return value
    if isinstance(value, str) or np.asarray(value).dtype.kind not in "iuf":
        raise InputError(f"{words}, got {value!r}")
    if not np.all(allowed(np.asarray(value))):
        raise InputError(f"{words}, got {value}")
    return value if isinstance(value, jax.Array | np.ndarray) else float(value)


def check_alike(what: str, first: Any, second: Any) -> None:
    """Raise InputError unless two arrays have one shape; by their shapes, so in compiled code too.

    >>> check_alike("the student's and the teacher's logits", jnp.ones((2, 7)), jnp.ones((2, 10)))
    Traceback (most recent call last):
    kdtheory.errors.InputError: the student's and the teacher's logits must have one shape, ...
    """
    shapes = jnp.shape(first), jnp.shape(second)
    if shapes[0] != shapes[1]:
        raise InputError(f"{what} must have one shape, got {shapes[0]} and {shapes[1]}")


def check_outputs(logits: Any, num_outputs: int) -> None:
    """Raise InputError unless a network's logits have as many columns as the task has outputs.

    >>> check_outputs(jnp.ones((2, 7)), 10)
    Traceback (most recent call last):
    kdtheory.errors.InputError: the network has 7 outputs, and the task 10
    """
    if jnp.shape(logits)[-1] != num_outputs:
        raise InputError(
            f"the network has {jnp.shape(logits)[-1]} outputs, and the task {num_outputs}"
        )


def check_logits(logits: Any, what: str) -> Any:
    """Return what a teacher gave, or raise InputError unless it is one array (n, d).

    >>> check_logits((jnp.ones((2, 3)), None), "the teacher")
    Traceback (most recent call last):
    kdtheory.errors.InputError: the teacher must return logits (n, d), got a tuple of 2
    """
    if not hasattr(logits, "shape") or len(logits.shape) != 2:
        got = getattr(logits, "shape", None)
        size = f"a {type(logits).__name__}" + (
            f" of {len(logits)}" if hasattr(logits, "__len__") else ""
        )
        raise InputError(f"{what} must return logits (n, d), got {size if got is None else got}")
    return logits


def check_variables(variables: Any, apply_fn: Any) -> None:
    """Raise InputError unless these are a model's apply function and its variables.

    >>> check_variables({"Dense_0": {"kernel": jnp.ones((2, 2))}}, lambda variables, images: images)
    Traceback (most recent call last):
    kdtheory.errors.InputError: a teacher's variables are {'params': ...}, got Dense_0; ...
    """
    if hasattr(apply_fn, "apply"):
        raise InputError("a teacher is given by its function: model.apply, and not the model")
    if hasattr(variables, "variables") and hasattr(variables, "opt_state"):
        raise InputError("a teacher's variables are wanted, got a training state: state.variables")
    try:
        names = list(variables)
    except TypeError:
        names = []
    if not hasattr(variables, "keys") or "params" not in names:
        got = (
            ", ".join(map(str, names[:4]))
            if hasattr(variables, "keys")
            else type(variables).__name__
        )
        raise InputError(
            f"a teacher's variables are {{'params': ...}}, got {got}; bare parameters are given as "
            "{'params': parameters}"
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        if known(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            bad = int((~np.isfinite(np.asarray(leaf, np.float32))).sum())
            if bad:
                where = jax.tree_util.keystr(path)
                raise InputError(
                    f"a teacher's variables must be finite, {bad} of {where} are NaN or infinite"
                )
