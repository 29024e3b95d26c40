"""Settings for the kernel's tests."""

import jax
import pytest


@pytest.fixture(autouse=True)
def quick_compilation():
    """Most of these tests' time is compilation; exactness does not need optimised code."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
