"""The array types that kdtheory's signatures are written in."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

#: A JAX or a NumPy array: what public functions accept.
ArrayLike: TypeAlias = jax.Array | np.ndarray

#: Any array that NumPy or DLPack takes, such as a PyTorch tensor, or nested lists of numbers.
AnyArray: TypeAlias = Any

#: Flax variables: {"params": ..., "batch_stats": ...}. Kernels differentiate by "params" alone.
Variables: TypeAlias = Mapping[str, Any]

#: (variables, images of shape (n, h, w, c)) -> logits of shape (n, d). A Flax `model.apply` is one;
#: its own annotations also allow mutable collections, so the type says no more than "a callable".
ApplyFn: TypeAlias = Callable[..., Any]
