"""What kernel is measured, with which ridge, and what that may take: one specification for all."""

import math
from typing import Literal

import jax
import numpy as np

from kdtheory.complexity.kernel_checks import relative_ridge
from kdtheory.errors import InputError
from kdtheory.memory import available, factorising_bytes, parse_bytes
from kdtheory.settings import check_choices, check_minimum, settings_group

#: Ridge in units of the kernel's mean diagonal entry, where none is given.
DEFAULT_RIDGE = 1e-3

_CHOICES = {"outputs": ("full", "trace", "sum"), "dtype": ("float32", "float64")}


@settings_group
class KernelSpec:
    """A kernel measurement: exact where it fits in memory, else a certified interval.

    >>> KernelSpec(ridge=0.01).lambda_of(trace=4.0, rows=2)
    0.02
    """

    outputs: Literal["full", "trace", "sum"] = "full"
    """full: the (n d, n d) kernel of all d outputs; trace: its mean over outputs, which every
    output then has for itself; sum: the kernel of the outputs' sum over sqrt(d)."""
    ridge: float | None = None
    """lambda of (K + lambda I)^-1 in units of the mean of K's diagonal (default: 0.001)."""
    ridge_absolute: float | None = None
    """lambda itself, in the unit of K, instead of --ridge."""
    method: str = "auto"
    """How the kernel is computed: auto, layerwise, neural_tangents (the reference), or
    neural_tangents_vector_products."""
    batch_size: int | None = None
    """Examples a tile of the kernel (default: chosen from the sizes)."""
    dtype: Literal["float32", "float64"] = "float64"
    """Precision of the kernel's entries, or of the products with it; it is always factorised in
    float64."""
    matrix_free: bool = False
    """Bound the complexity from products with the kernel, which is never formed, though it fits."""
    relative_gap: float = 1e-3
    """Where the complexity is bounded: stop at (upper - lower) / lower."""
    max_products: int = 1000
    """Where the complexity is bounded: most products with the kernel, for each set of targets."""
    memory_budget: str | None = None
    """Memory that a kernel, its factor and what they are made with may take, such as 4GiB (default:
    what is free)."""
    devices: int = 1
    """Devices of this process that share the examples of a kernel."""
    store: str | None = None
    """Folder for a kernel's finished tiles and products: a killed call goes on when it is made
    again. A kernel's tiles are deleted when it is whole."""

    def check(self) -> None:
        """Raise InputError if a setting is out of range or does not fit another."""
        check_choices(self, _CHOICES)
        check_minimum(self, max_products=1, batch_size=1, devices=1)
        if self.ridge is not None and self.ridge_absolute is not None:
            raise InputError("give ridge (relative) or ridge_absolute, not both")
        for name in ("ridge", "ridge_absolute"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} must be at least 0 and finite, got {value}")
        if not self.relative_gap > 0:
            raise InputError(f"relative_gap must be above 0, got {self.relative_gap}")
        if self.memory_budget is not None:
            parse_bytes(self.memory_budget)
        if self.matrix_free and self.outputs == "trace":
            raise InputError(
                'products with the kernel are for outputs "full" and "sum"; outputs is "trace"'
            )

    def lambda_of(self, *, trace: float, rows: int) -> float:
        """Return what is added to the diagonal of a kernel of this trace."""
        if self.ridge_absolute is not None:
            return self.ridge_absolute
        fraction = DEFAULT_RIDGE if self.ridge is None else self.ridge
        return relative_ridge(fraction, trace=trace, rows=rows)

    def rows(self, num_examples: int, num_outputs: int) -> int:
        """Return the rows of the matrix that is factorised: n d, or n."""
        return num_examples * (num_outputs if self.outputs == "full" else 1)

    def is_exact(self, rows: int) -> bool:
        """Return whether a kernel of so many rows is formed and factorised.

        >>> KernelSpec(memory_budget="1MiB").is_exact(200), KernelSpec().is_exact(200)
        (True, True)
        >>> KernelSpec(memory_budget="1MiB").is_exact(300)
        False
        """
        return not self.matrix_free and factorising_bytes(rows) <= self.memory()

    def working_memory(self, rows: int) -> int | None:
        """Return the part of the budget that a kernel may be made with; None without a budget."""
        if self.memory_budget is None:
            return None
        return self.memory() - rows**2 * np.dtype(self.dtype).itemsize

    def mesh(self) -> jax.sharding.Mesh | None:
        """Return this process' first devices as a mesh; None for a single one.

        Raises:
          InputError: there are not so many.
        """
        return device_mesh(self.devices)

    def memory(self) -> int:
        """Return what a kernel may take, in bytes."""
        free = available()
        return free if self.memory_budget is None else min(free, parse_bytes(self.memory_budget))


def device_mesh(devices: int | None) -> jax.sharding.Mesh | None:
    """Return this process' first devices, or all for None, as a mesh; None for a single one.

    Raises:
      InputError: there are not so many.
    """
    local = jax.local_devices()
    count = len(local) if devices is None else devices
    if not 1 <= count <= len(local):
        raise InputError(f"--devices must be 1 to {len(local)} here, got {count}")
    return None if count == 1 else jax.sharding.Mesh(np.array(local[:count]), ("examples",))
