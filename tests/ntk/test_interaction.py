"""Functions whose examples depend on each other or on their places are refused, others taken."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.ntk import gram, nystrom_gram, operator, sketch

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
DENSE = nn.Dense(2)
VARIABLES = DENSE.init(jax.random.key(0), X)
DROPOUT = nn.Sequential([nn.Dense(8), nn.Dropout(0.5, deterministic=False)])


def logits(x):
    return DENSE.apply(VARIABLES, x)


def own_statistics(v, x):
    h = DENSE.apply(v, x)
    return (h - h.mean(0, keepdims=True)) / jnp.sqrt(h.var(0, keepdims=True) + 1e-5)


def to_the_first(v, x):
    h = DENSE.apply(v, x)
    return jnp.concatenate([h[:1], h[:1] + h[1:]])


def running_sum(v, x):
    step = lambda carry, row: (carry + row, carry)  # noqa: E731
    return jax.lax.scan(step, jnp.zeros(2), DENSE.apply(v, x))[1]


def folded(v, x):
    return DENSE.apply(v, x).T.reshape(-1, 2)


@pytest.mark.parametrize(
    ("apply_fn", "message"),
    [
        (lambda v, x: DENSE.apply(v, x) - DENSE.apply(v, x).mean(0), "reduce_sum works along"),
        (own_statistics, "reduce_sum works along"),
        (lambda v, x: jax.nn.softmax(DENSE.apply(v, x), axis=0), "reduce_max works along"),
        (lambda v, x: (x @ x.T) @ DENSE.apply(v, x), "dot_general combines examples"),
        (lambda v, x: DENSE.apply(v, x) * jnp.arange(1.0, 1.0 + len(x))[:, None], "its place"),
        (lambda v, x: jnp.roll(DENSE.apply(v, x), 1, 0), "works along the axis"),
        (lambda v, x: jnp.flip(DENSE.apply(v, x), 0), "rev works along the axis"),
        (lambda v, x: jnp.sort(DENSE.apply(v, x), 0), "sort works along the axis"),
        (lambda v, x: jnp.cumsum(DENSE.apply(v, x), 0), "cumsum works along the axis"),
        (to_the_first, "works along the axis"),
        (running_sum, "scan goes from one example to the next"),
        (folded, "takes the axis of the examples apart|do not lie along axis 0"),
        (lambda v, x: jnp.where(x.sum() > 0, 1.0, -1.0) * DENSE.apply(v, x), "reduce_sum works"),
        (
            lambda v, x: DROPOUT.apply(
                {"params": {"layers_0": v["params"]}}, x, rngs={"dropout": jax.random.key(1)}
            ),
            "random numbers differ .* turn off dropout",
        ),
        (
            lambda v, x: jax.jit(own_statistics)(v, x),
            "reduce_sum works along",
        ),
    ],
)  # fmt: skip
def test_interaction_is_refused_by_what_the_function_does(apply_fn, message):
    variables = VARIABLES
    if "DROPOUT" in apply_fn.__code__.co_names:
        variables = {"params": nn.Dense(8).init(jax.random.key(0), X)["params"]}
    with pytest.raises(InputError, match=message) as caught:
        gram(apply_fn, variables, X)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "approximation",
    [
        lambda f: operator(f, VARIABLES, X),
        lambda f: nystrom_gram(f, VARIABLES, X, landmarks=2, key=jax.random.key(0)),
        lambda f: sketch(f, VARIABLES, X, dimension=4, key=jax.random.key(0)),
        lambda f: gram(f, VARIABLES, X, method="neural_tangents"),
    ],
)
def test_every_way_to_a_kernel_refuses(approximation):
    with pytest.raises(InputError, match="depend on each other"):
        approximation(own_statistics)


def over_examples(v, x):
    return jax.lax.map(lambda row: DENSE.apply(v, row), x)


def along_another_axis(v, x):
    h = DENSE.apply(v, x.T[None].T[:, :, 0])
    return jnp.moveaxis(jnp.sort(jnp.moveaxis(h, 0, 1), 0), 1, 0)


def merged_and_split(v, x):
    h = DENSE.apply(v, jnp.stack([x, 2 * x], 1).reshape(-1, 3))
    return h.reshape(len(x), 2, 2).sum(1)


def drawn_for_all_alike(v, x):
    return DENSE.apply(v, x) * jax.random.normal(jax.random.key(0), (1, 2))


def counted_along_features(v, x):
    return DENSE.apply(v, x) * jnp.arange(1.0, 3.0)[None] + jnp.ones_like(x[:, :1])


def solved(v, x):
    matrix = jnp.eye(2) + jnp.abs(v["params"]["kernel"][:2])
    return jnp.linalg.solve(matrix, DENSE.apply(v, x).T).T


@pytest.mark.parametrize(
    "apply_fn",
    [over_examples, along_another_axis, merged_and_split, drawn_for_all_alike,
     counted_along_features, solved],
)  # fmt: skip
def test_what_keeps_examples_apart_is_taken_and_exact(apply_fn):
    def one(params, x):
        return apply_fn({"params": params}, x[None])[0]

    jacobians = [jax.jacrev(one)(VARIABLES["params"], x) for x in X]
    rows = np.concatenate(
        [
            np.concatenate([leaf.reshape(2, -1) for leaf in jax.tree.leaves(one)], 1)
            for one in jacobians
        ]
    )
    kernel = gram(apply_fn, VARIABLES, X)
    np.testing.assert_allclose(kernel, rows @ rows.T, rtol=1e-4, atol=1e-5)
