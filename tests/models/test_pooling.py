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
    x = jax.random.normal(jax.random.key(seed), (2, h, w, 3))

    def flax_pool(x: jax.Array) -> jax.Array:
        return nn.max_pool(x, (window, window), (window, window))

    value, pull = jax.vjp(lambda x: max_pool(x, window), x)
    expected, expected_pull = jax.vjp(flax_pool, x)
    np.testing.assert_array_equal(value, expected)
    cotangent = jnp.cos(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape)
    np.testing.assert_array_equal(pull(cotangent)[0], expected_pull(cotangent)[0])


def test_a_window_that_does_not_fit_is_named() -> None:
    with pytest.raises(InputError, match="window of 4 does not fit in 3 x 8"):
        max_pool(jnp.zeros((1, 3, 8, 1)), 4)
