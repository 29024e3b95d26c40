"""Kernels whose answers are known, for the tests of your own kernels and complexities.

Small matrices, made in milliseconds: kernels with a prescribed spectrum, for which y^T K^-1 y is
known exactly; kernels that must be refused; a sample on which the certificate holds, and a kernel
with which it must not be given.
"""

from kdtheory.testing.certificates import CertifiedSample, certified_sample, memorising_kernel
from kdtheory.testing.faulty_kernels import faulty_kernels
from kdtheory.testing.known_kernel import KnownKernel, known_kernel

__all__ = [
    "CertifiedSample",
    "KnownKernel",
    "certified_sample",
    "faulty_kernels",
    "known_kernel",
    "memorising_kernel",
]
