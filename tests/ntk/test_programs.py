"""Kernels of drawn programs of JAX's primitives are those of `jax.jacrev`, in float64."""

import dataclasses
import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.ntk import gram

POSITIONS, CHANNELS = 4, 4


class Parameters:
    """Hands out parameters by name and shape: the same ones for what was asked for before."""

    def __init__(self, known):
        self.known = known

    def __call__(self, name, *shape):
        key = f"{name}{shape}"
        if key not in self.known:
            rng = np.random.default_rng(len(self.known))
            self.known[key] = rng.normal(size=shape) / np.sqrt(shape[0]) + 0.1
        return self.known[key]


def dense(take, name, h):
    return jnp.tanh(h @ take(name, CHANNELS, CHANNELS) + take(name, CHANNELS))


def dense_of_the_transposed(take, name, h):
    """With the weight that `dense` of the same name has."""
    return jnp.einsum("oi,bsi->bso", take(name, CHANNELS, CHANNELS), h)


def normalised_weight(take, name, h):
    weight = take(name, CHANNELS, CHANNELS)
    return h @ (weight / jnp.linalg.norm(weight, axis=0))


def part_of_a_weight(take, name, h):
    weight = take(name, 2 * CHANNELS, CHANNELS)
    return h @ weight[1 : CHANNELS + 1] + h @ weight.reshape(CHANNELS, -1)[:, ::2]


def lower_precision(take, name, h):
    return (h @ take(name, CHANNELS, CHANNELS).astype(jnp.float32).astype(h.dtype)) * 0.5


def scale_and_bias(take, name, h):
    return h * take(name, CHANNELS) - take(name + "bias", POSITIONS, 1) / take("one", 1)


def layer_norm(take, name, h):
    centred = h - h.mean(-1, keepdims=True)
    scaled = centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-3)
    return scaled * take(name, CHANNELS) + take(name + "bias", CHANNELS)


def attention(take, name, h):
    q, k, v = (jnp.einsum("bsi,iho->bsho", h, take(name + part, CHANNELS, 2, 2)) for part in "qkv")
    weights = jax.nn.softmax(jnp.einsum("bsho,btho->bhst", q, k), axis=-1)
    return h + jnp.einsum("bhst,btho->bsho", weights, v).reshape(h.shape)


def token(take, name, h):
    first = jnp.broadcast_to(take(name, 1, 1, CHANNELS), (h.shape[0], 1, CHANNELS))
    return jnp.concatenate([first, h], axis=1)[:, :POSITIONS]


def embedding(take, name, h):
    codes = jnp.clip(jnp.floor(3 * h[..., 0]), -3, 3).astype(jnp.int32)
    return h + jnp.asarray(take(name, 7, CHANNELS))[codes]


def convolution(take, name, h, *, groups=1, window=3, strides=1, spread=1, holes=1, padding=1):
    kernel = take(name, window, CHANNELS // groups, CHANNELS)
    found = jax.lax.conv_general_dilated(
        h, kernel, (strides,), [(padding, padding)], lhs_dilation=(spread,), rhs_dilation=(holes,),
        dimension_numbers=("NWC", "WIO", "NWC"), feature_group_count=groups,
    )  # fmt: skip
    return jnp.tanh(h + jnp.pad(found, ((0, 0), (0, POSITIONS), (0, 0)))[:, :POSITIONS])


def layers_in_a_scan(take, name, h):
    step = lambda h, weight: (jnp.tanh(h @ weight), h.sum(-1))  # noqa: E731
    h, sums = jax.lax.scan(step, h, take(name, 3, CHANNELS, CHANNELS))
    return h + sums[1][..., None]


def recurrent(take, name, h):
    inner, outer = take(name, CHANNELS, CHANNELS), take(name + "h", CHANNELS, CHANNELS)

    def step(carry, x):
        carry = jnp.tanh(x @ inner + carry @ outer)
        return carry, carry

    start = jnp.zeros((h.shape[0], CHANNELS), h.dtype)
    return jax.lax.scan(step, start, h.swapaxes(0, 1), reverse=True)[1].swapaxes(0, 1)


def counted_loop(take, name, h):
    weight = take(name, CHANNELS, CHANNELS)
    return jax.lax.fori_loop(0, 3, lambda _, h: jnp.sin(h @ weight), h)


def branches(take, name, h):
    weight = take(name, CHANNELS, CHANNELS)
    return jax.lax.cond(
        weight[0, 0] > 0, lambda h, w: h @ w, lambda h, w: jnp.tanh(h) @ w.T, h, weight
    )


@jax.custom_vjp
def thrice_in_the_backward_pass(h, weight):
    return h @ weight


thrice_in_the_backward_pass.defvjp(
    lambda h, weight: (h @ weight, (h, weight)),
    lambda kept, g: (g @ kept[1].T, 3 * jnp.einsum("bsi,bso->io", kept[0], g)),
)


@jax.custom_jvp
def twice_in_the_tangent(h, scale):
    return h * scale


@twice_in_the_tangent.defjvp
def _(primals, tangents):
    (h, scale), (dh, dscale) = primals, tangents
    return h * scale, dh * scale + 2 * h * dscale


def custom_rules(take, name, h):
    h = thrice_in_the_backward_pass(h, take(name, CHANNELS, CHANNELS))
    return twice_in_the_tangent(h, take(name, CHANNELS))


BLOCKS = (
    dense,
    dense_of_the_transposed,
    normalised_weight,
    part_of_a_weight,
    lower_precision,
    scale_and_bias,
    layer_norm,
    attention,
    token,
    embedding,
    convolution,
    functools.partial(convolution, groups=2, window=2),
    functools.partial(convolution, groups=CHANNELS),
    functools.partial(convolution, strides=2, holes=2),
    functools.partial(convolution, spread=2, window=2, padding=0),
    layers_in_a_scan,
    recurrent,
    counted_loop,
    branches,
    custom_rules,
)

#: How a block is called.
CALLS = {
    "plainly": lambda block: block,
    "jitted": jax.jit,
    "jitted twice": lambda block: jax.jit(jax.jit(block)),
    "rematerialised": jax.checkpoint,
}


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A program: blocks one after another, each with the names of its parameters."""

    blocks: tuple
    outputs: int

    def __call__(self, params, x, *, making=False):
        h = x
        for block, name, call in self.blocks:

            def run(params, h, block=block, name=name):
                return block(Parameters(params), name, h)

            # Parameters that are there are arguments of the call, and traced with it.
            h = (run if making else CALLS[call](run))(params, h)
        return h.mean(1) @ Parameters(params)("last", CHANNELS, self.outputs)

    def params(self, x):
        made = {}
        with jax.enable_x64(True):
            jax.eval_shape(lambda x: self(made, x, making=True), x)
        return made


def jacobian_kernel(function, params, x):
    """Return J J^T, (n, d, n, d), by `jax.jacrev`."""
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        found = jax.jit(jax.jacrev(function))(params, jnp.asarray(x))
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(found)]
    n, d = leaves[0].shape[:2]
    rows = np.concatenate([leaf.reshape(n * d, -1) for leaf in leaves], axis=1)
    return (rows @ rows.T).reshape(n, d, n, d)


def kept(kernel, outputs):
    n, d = kernel.shape[:2]
    if outputs == "full":
        return kernel.reshape(n * d, n * d)
    if outputs == "sum":
        return kernel.sum((1, 3)) / d
    diagonal = np.einsum("iaja->aij", kernel)
    return diagonal if outputs == "diagonal" else diagonal.sum(0)


def check(program, outputs):
    x = np.random.default_rng(0).normal(size=(3, POSITIONS, CHANNELS))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        params = program.params(x)
    expected = kept(jacobian_kernel(program, params, x), outputs)
    kernel = gram(
        lambda variables, x: program(variables["params"], x),
        {"params": params}, x, outputs=outputs, dtype="float64", batch_size=2,
    )  # fmt: skip
    # A gradient that JAX rounds to float32 on its way is not rounded here.
    rounded = any(block is lower_precision for block, *_ in program.blocks)
    tolerance = 1e-6 if rounded else 1e-12
    assert np.abs(kernel - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize(
    "block", BLOCKS, ids=lambda b: getattr(b, "__name__", repr(getattr(b, "keywords", b)))
)
def test_every_block_is_exact(block):
    check(Drawn(((block, "a", "plainly"), (block, "a", "plainly")), 2), "full")


programs = st.builds(
    Drawn,
    st.lists(
        st.tuples(st.sampled_from(BLOCKS), st.sampled_from("ab"), st.sampled_from(sorted(CALLS))),
        min_size=1,
        max_size=4,
    ).map(tuple),
    st.integers(1, 3),
)
kinds = st.sampled_from(["full", "trace", "diagonal", "sum"])


@hypothesis.given(program=programs, outputs=kinds)
@hypothesis.settings(max_examples=10)
def test_drawn_programs_are_exact(program, outputs):
    check(program, outputs)


@pytest.mark.slow
@hypothesis.given(program=programs, outputs=kinds)
@hypothesis.settings(max_examples=300)
def test_many_drawn_programs_are_exact(program, outputs):
    check(program, outputs)


@pytest.mark.parametrize("inside", [False, True])
def test_a_loop_of_unknown_length_is_refused_in_one_line(inside):
    """JAX has no gradient of it, whether the parameters are in the loop or before it."""
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)

    def apply_fn(variables, x):
        w = variables["params"]["w"]
        step = (lambda h: jnp.tanh(h @ w)) if inside else jnp.tanh
        start = (jnp.zeros((), jnp.int32), x @ w)
        return jax.lax.while_loop(
            lambda state: state[0] < 5, lambda state: (state[0] + 1, step(state[1])), start
        )[1]

    with pytest.raises(InputError, match=r"while_loop") as caught:
        gram(apply_fn, {"params": {"w": np.eye(4, dtype=np.float32)}}, x)
    assert "\n" not in str(caught.value)
