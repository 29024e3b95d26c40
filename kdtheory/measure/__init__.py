"""The front door: supervision complexity of targets for a network, exact or certified.

`supervision_complexity` is one call for some targets; `measured_kernel` keeps the kernel for more.
Both take a `KernelSpec`, as `kdtheory run`, `study`, `sweep` and `complexity` do.
"""

from kdtheory.measure.network_kernel import measured_kernel, supervision_complexity
from kdtheory.measure.spec import KernelSpec
from kdtheory.measure.values import Interval, SupervisionComplexity

__all__ = [
    "Interval",
    "KernelSpec",
    "SupervisionComplexity",
    "measured_kernel",
    "supervision_complexity",
]
