"""Strict settings for every test and doctest.

Shapes and dtypes of all annotated functions are checked (jaxtyping with beartype); implicit dtype
and rank promotion are errors, and so are warnings (pyproject.toml). Tests that need float64 turn it
on where they need it: `with jax.enable_x64(True):`.
"""

import atexit
import os
import shutil
import tempfile

# Set before JAX starts its backend: several virtual devices are asked for by the tests that want
# them, in processes of their own.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests run in as many processes as there are cores: more threads in each only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# TensorFlow (only for tfrecord folders) would otherwise write to stderr at import.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from jaxtyping import install_import_hook

install_import_hook("kdtheory", "beartype.beartype")

import hypothesis
import jax
import matplotlib
import pytest

matplotlib.use("Agg")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# The same small programs are compiled by hundreds of tests: each worker keeps them for its session,
# in a folder of its own, so that none reads what another is still writing.
COMPILED = tempfile.mkdtemp(prefix="kdtheory-tests-xla-")
atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", COMPILED)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

hypothesis.settings.register_profile("kdtheory", deadline=None, max_examples=20, derandomize=True)
hypothesis.settings.load_profile("kdtheory")

#: Files whose tests run for a minute: begun first, so that no worker waits for another at the end.
LONG = ("test_documents.py", "test_notebooks.py", "test_cli.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first."""
    items.sort(key=lambda item: item.path.name not in LONG)
