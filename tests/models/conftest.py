"""Settings for the models' tests."""

import functools

import jax
import pytest

from kdtheory import models


@pytest.fixture(autouse=True)
def quick_compilation():
    """Most of these tests' time is compilation; exactness does not need optimised code."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def summarize():
    """`models.summarize`, which traces a whole model, once for each question."""
    return functools.cache(models.summarize)
