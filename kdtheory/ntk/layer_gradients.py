"""Per-example parameter gradients of one layer, from its input and its output's cotangents.

Each known layer has the cheapest exact form: Dense layers an outer product that is not carried
out, convolutions one matrix product of shifted input slices with the cotangents, normalisations a
sum over positions. Every other layer goes through `_general`: vector-Jacobian products of that
layer alone, one example at a time under vmap.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from kdtheory.models.depthwise import depthwise_conv
from kdtheory.ntk.contractions import Flat, RankOne, Share
from kdtheory.ntk.interception import LayerCall

#: Shifted slices formed at a time on CPU, in bytes: they should stay in its caches.
_SLICES_IN_CACHE = 2 * 2**20

_PAD_MODES = {"CIRCULAR": "wrap", "REFLECT": "reflect"}
_NORMS = (nn.BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.InstanceNorm)


#: Gradients of a layer's own parameters by their path in it, each (b, d, size).
ByLeaf = dict[tuple[str, ...], jax.Array]


class Contribution(NamedTuple):
    """What one call adds to the gradient of some parameters."""

    leaves: tuple[int, ...]
    share: Share


def contributions(
    call: LayerCall,
    variables: Mapping[str, Any],
    arrays: Sequence[jax.Array],
    cotangents: jax.Array,
    *,
    shared: bool,
) -> list[Contribution]:
    """Return the gradients of a layer's parameters for each example and each output.

    Args:
      call: the layer's call.
      variables: the layer's own variables.
      arrays: the arrays among the call's arguments.
      cotangents: (d, b, ...): derivative of each of the d outputs by the layer's output.
      shared: another call uses some of the same parameters; then gradients come one leaf at a
        time, flat and in the parameter's own order, so that calls can be summed.
    """
    kind = layer_kind(call)
    form = _FORMS[kind]
    by_leaf = form(call, variables, arrays, jnp.moveaxis(cotangents, 0, 1), shared)
    if isinstance(by_leaf, RankOne):
        return [Contribution(tuple(call.leaves.values()), by_leaf)]
    return [Contribution((call.leaves[leaf],), Flat(value)) for leaf, value in by_leaf.items()]


def layer_kind(call: LayerCall) -> str:
    """Return the form that a call's gradients take: a key of the table at the end of this file."""
    module = call.module
    args, kwargs = call.arguments
    extra = (len(args) > 1 or kwargs) and not isinstance(module, nn.BatchNorm)
    if call.method != "__call__" or not args or call.batched != (True,) or extra:
        return "general"
    if type(module) is nn.Embed:
        return "embed"
    if getattr(module, "dtype", None) not in (None, *call.dtypes):
        return "general"  # it computes in a precision of its own
    if type(module) is nn.Dense:
        custom = module.dot_general is not None or module.dot_general_cls is not None
        return "general" if custom else "dense"
    if type(module) is nn.Conv:
        return "conv" if _is_ordinary(module, call.output) else "general"
    if type(module) in _NORMS:
        axes = getattr(module, "feature_axes", getattr(module, "axis", -1))
        return "norm" if axes in (-1, (-1,)) else "general"
    return "general"


def _dense(
    call: LayerCall, variables: Any, arrays: Any, cotangents: jax.Array, shared: bool
) -> RankOne | ByLeaf:
    (x,) = arrays
    b, d, q = cotangents.shape[0], cotangents.shape[1], cotangents.shape[-1]
    if x.ndim == 2 and not shared:
        ones = [jnp.ones((b, 1), x.dtype)] if call.module.use_bias else []
        return RankOne(jnp.concatenate([x, *ones], axis=1), cotangents)
    x, cotangents = x.reshape(b, -1, x.shape[-1]), cotangents.reshape(b, d, -1, q)
    order = "bti,bdto->bdio" if shared else "bti,bdto->bdoi"
    gradients: ByLeaf = {("kernel",): jnp.einsum(order, x, cotangents).reshape(b, d, -1)}
    if call.module.use_bias:
        gradients["bias",] = cotangents.sum(2)
    return gradients


def _axes(value: Any, count: int) -> tuple[int, ...]:
    if value is None:
        return (1,) * count
    return (value,) * count if isinstance(value, int) else tuple(value)


def _is_ordinary(module: nn.Conv, output: jax.ShapeDtypeStruct) -> bool:
    """Return whether the convolution is one that `_conv` reproduces."""
    rank = len(_axes(module.kernel_size, 1))
    return (
        module.mask is None
        and module.conv_general_dilated in (None, depthwise_conv)
        and module.conv_general_dilated_cls is None
        and set(_axes(module.input_dilation, rank)) == {1}
        and len(output.shape) == rank + 1
    )


class _Window(NamedTuple):
    """How a convolution's kernel moves over its padded input."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    output: tuple[int, ...]

    def slices(self, x: jax.Array) -> list[jax.Array]:
        """Return, for each kernel position, the input entries that it meets: (b, *output, c)."""
        found = []
        for position in itertools.product(*map(range, self.kernel)):
            start = [p * d for p, d in zip(position, self.dilation, strict=True)]
            stop = [
                s + (o - 1) * stride + 1
                for s, o, stride in zip(start, self.output, self.strides, strict=True)
            ]
            found.append(
                lax.slice(
                    x,
                    (0, *start, 0),
                    (x.shape[0], *stop, x.shape[-1]),
                    (1, *self.strides, 1),
                )
            )
        return found


def _padded(x: jax.Array, module: Any, window: _Window) -> jax.Array:
    """Pad the input as Flax's convolution does."""
    rank = len(window.kernel)
    reach = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilation, strict=True)]
    padding = module.padding
    pads: list[tuple[int, int]]
    if padding in _PAD_MODES:
        pads = [((r - 1) // 2, r // 2) for r in reach]
        return jnp.pad(x, [(0, 0), *pads, (0, 0)], mode=_PAD_MODES[str(padding)])
    if padding == "CAUSAL":
        pads = [(reach[0] - 1, 0)]
    elif isinstance(padding, str):
        found = lax.padtype_to_pads(x.shape[1:-1], reach, window.strides, padding)
        pads = [(int(low), int(high)) for low, high in found]
    else:
        each = (padding,) * rank if isinstance(padding, int) else tuple(padding)
        pads = [(p, p) if isinstance(p, int) else (p[0], p[1]) for p in each]
    around = [(0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), around)


def _conv(
    call: LayerCall, variables: Any, arrays: Any, cotangents: jax.Array, shared: bool
) -> RankOne | ByLeaf:
    (x,) = arrays
    module: Any = call.module
    groups = module.feature_group_count
    rank = len(_axes(module.kernel_size, 1))
    window = _Window(
        kernel=_axes(module.kernel_size, 1),
        strides=_axes(module.strides, rank),
        dilation=_axes(module.kernel_dilation, rank),
        output=cotangents.shape[2:-1],
    )
    b, d, q = cotangents.shape[0], cotangents.shape[1], cotangents.shape[-1]
    positions, taps = math.prod(window.output), math.prod(window.kernel)
    x = _padded(x, module, window)
    if positions == 1 and groups == 1 and not shared:
        ones = [jnp.ones((b, 1), x.dtype)] if module.use_bias else []
        inputs = [part.reshape(b, -1) for part in window.slices(x)]
        return RankOne(jnp.concatenate([*inputs, *ones], axis=1), cotangents.reshape(b, d, q))

    cotangents = cotangents.reshape(b, d, positions, groups, q // groups)
    channels = x.shape[-1] // groups

    def kernel_gradient(x: jax.Array, cotangents: jax.Array) -> jax.Array:
        """Gradients (m, d, ...) of m examples, in the order that costs nothing."""
        m = x.shape[0]
        slices = window.slices(x)
        if groups == 1:
            patches = jnp.concatenate(slices, axis=-1).reshape(m, positions, taps * channels)
            return jnp.einsum("mdso,msi->mdoi", cotangents[:, :, :, 0], patches)
        if channels == 1:
            # Depthwise: no channels to sum over, so there is no matrix product in it.
            parts = [
                (cotangents * part.reshape(m, 1, positions, groups, 1)).sum(2) for part in slices
            ]
            return jnp.stack(parts, axis=-1)
        patches = jnp.stack([s.reshape(m, positions, groups, channels) for s in slices], axis=3)
        return jnp.einsum("mdsgo,msgtc->mdgotc", cotangents, patches)

    gradient = _in_cache(
        kernel_gradient, x, cotangents, positions * taps * x.shape[-1] * x.dtype.itemsize
    )
    if shared:
        gradient = gradient.reshape(b, d, groups, q // groups, taps, channels)
        gradient = gradient.transpose(0, 1, 4, 5, 2, 3)
    gradients: ByLeaf = {("kernel",): gradient.reshape(b, d, -1)}
    if module.use_bias:
        gradients["bias",] = cotangents.sum(2).reshape(b, d, q)
    return gradients


def _in_cache(
    function: Callable[[jax.Array, jax.Array], jax.Array],
    x: jax.Array,
    cotangents: jax.Array,
    example_bytes: int,
) -> jax.Array:
    """Apply `function` to so few examples at a time that its slices stay in a CPU's caches.

    Memory that is touched once for a whole block costs several times the product itself on CPU.
    """
    b = x.shape[0]
    largest = max(1, _SLICES_IN_CACHE // example_bytes)
    if largest >= b or jax.default_backend() != "cpu":
        return function(x, cotangents)
    m = max(size for size in range(1, largest + 1) if b % size == 0)
    parts = (
        x.reshape(b // m, m, *x.shape[1:]),
        cotangents.reshape(b // m, m, *cotangents.shape[1:]),
    )
    result = lax.map(lambda part: function(*part), parts)
    return result.reshape(b, *result.shape[2:])


def _norm(
    call: LayerCall, variables: Any, arrays: Any, cotangents: jax.Array, shared: bool
) -> ByLeaf:
    b, d, q = cotangents.shape[0], cotangents.shape[1], cotangents.shape[-1]
    cotangents = cotangents.reshape(b, d, -1, q)
    gradients: ByLeaf = {}
    if "scale" in variables["params"]:
        # The layer itself with scale 1 and bias 0 (a division by its scale could be by zero).
        standard = {
            name: jnp.full_like(value, 1 if name == "scale" else 0)
            for name, value in variables["params"].items()
        }
        args, kwargs = call.with_arrays(arrays)
        normalised: Any = call.module.apply({**variables, "params": standard}, *args, **kwargs)
        gradients["scale",] = (cotangents * normalised.reshape(b, 1, -1, q)).sum(2)
    if "bias" in variables["params"]:
        gradients["bias",] = cotangents.sum(2)
    return gradients


def _embed(
    call: LayerCall, variables: Any, arrays: Any, cotangents: jax.Array, shared: bool
) -> ByLeaf:
    (x,) = arrays
    b, d, q = cotangents.shape[0], cotangents.shape[1], cotangents.shape[-1]
    chosen = jax.nn.one_hot(x.reshape(b, -1), call.module.num_embeddings, dtype=cotangents.dtype)
    gradient = jnp.einsum("btv,bdtq->bdvq", chosen, cotangents.reshape(b, d, -1, q))
    return {("embedding",): gradient.reshape(b, d, -1)}


def _general(
    call: LayerCall, variables: Any, arrays: Any, cotangents: jax.Array, shared: bool
) -> ByLeaf:
    rest = {name: value for name, value in variables.items() if name != "params"}

    def one_example(cotangents: jax.Array, *arrays: jax.Array) -> Any:
        given = [
            array[None] if batched else array
            for array, batched in zip(arrays, call.batched, strict=True)
        ]

        def output(params: Any) -> jax.Array:
            args, kwargs = call.with_arrays(given)
            result: Any = call.module.apply(
                {**rest, "params": params}, *args, method=call.method, **kwargs
            )
            return result

        _, pull = jax.vjp(output, variables["params"])
        return jax.vmap(lambda cotangent: pull(cotangent[None])[0])(cotangents)

    axes = [0 if batched else None for batched in call.batched]
    gradients = jax.vmap(one_example, in_axes=(0, *axes))(cotangents, *arrays)
    b, d = cotangents.shape[:2]
    return {
        tuple(str(getattr(key, "key", key)) for key in path): leaf.reshape(b, d, -1)
        for path, leaf in jax.tree_util.tree_leaves_with_path(dict(gradients))
    }


_FORMS: dict[str, Callable[..., Any]] = {
    "dense": _dense,
    "conv": _conv,
    "norm": _norm,
    "embed": _embed,
    "general": _general,
}
