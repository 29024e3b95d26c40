"""Complexity along a training: measured at each checkpoint, told in one table and one figure.

A recorder is called from a training loop, or with one's own checkpoints after it:
`complexity_recorder` of a JAX function, `kernel_recorder` of kernels from another framework.
"""

from kdtheory.recording.factories import complexity_recorder, kernel_recorder
from kdtheory.recording.figure import along_figure
from kdtheory.recording.recorder import ComplexityRecorder
from kdtheory.recording.results import along_table, write_along

__all__ = [
    "ComplexityRecorder",
    "along_figure",
    "along_table",
    "complexity_recorder",
    "kernel_recorder",
    "write_along",
]
