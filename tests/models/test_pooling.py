from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtheory.errors import InputError
from kdtheory.models.pooling import max_pool


@settings(max_examples=5, deadline=None)
@given(h=st.integers(3, 9), w=st.integers(3, 9), window=st.integers(2, 3), seed=st.integers(0, 99))
def test_value_and_derivative_are_those_of_flax(h: int, w: int, window: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(2, h, w, 3)).astype(np.float32)

    def pulled(pool: Callable[[jax.Array], jax.Array]) -> tuple[jax.Array, jax.Array]:
        value, pull = jax.vjp(pool, x)
        cotangent = jnp.cos(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape)
        return value, pull(cotangent)[0]

    found = jax.jit(pulled, static_argnums=0)(lambda x: max_pool(x, window))
    expected = jax.jit(pulled, static_argnums=0)(
        lambda x: nn.max_pool(x, (window,) * 2, (window,) * 2)
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_window_that_does_not_fit_is_named() -> None:
    with pytest.raises(InputError, match="window of 4 does not fit in 3 x 8"):
        max_pool(jnp.zeros((1, 3, 8, 1)), 4)
