"""Which axes of its inputs each axis of a primitive's output goes with.

A primitive treats two axes as one *lane* if entry i of the output's axis is computed from entry i
of the inputs' axes alone, in the same way for every i. `lanes` returns, for each output and each of
its axes, the axis of each input that it is a lane with (None: the input has none), or None if it
is a lane of nothing: what is summed, sorted, shifted, cut or numbered.
"""

from collections.abc import Callable, Sequence
from typing import Any

#: For each axis of an output, the axis of each input, or None.
Lanes = list[tuple[int | None, ...] | None]

_ENTRY_BY_ENTRY = frozenset(
    [
        "abs",
        "acos",
        "acosh",
        "add",
        "add_any",
        "and",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "bessel_i0e",
        "bessel_i1e",
        "bessel_j1",
        "bitcast_convert_type",
        "cbrt",
        "ceil",
        "clamp",
        "clz",
        "complex",
        "conj",
        "convert_element_type",
        "copy",
        "copy_p",
        "cos",
        "cosh",
        "device_put",
        "digamma",
        "div",
        "eq",
        "eq_to",
        "erf",
        "erf_inv",
        "erfc",
        "exp",
        "exp2",
        "expm1",
        "floor",
        "ge",
        "gt",
        "igamma",
        "igamma_grad_a",
        "igammac",
        "imag",
        "integer_pow",
        "is_finite",
        "le",
        "le_to",
        "lgamma",
        "log",
        "layout_constraint",
        "log1p",
        "log2",
        "logistic",
        "lt",
        "lt_to",
        "max",
        "min",
        "mul",
        "mulhi",
        "name",
        "ne",
        "neg",
        "nextafter",
        "not",
        "one_minus_square",
        "optimization_barrier",
        "or",
        "polygamma",
        "population_count",
        "pow",
        "pvary",
        "random_fold_in",
        "random_gamma",
        "random_gamma_grad",
        "random_split",
        "random_bits",
        "random_unwrap",
        "random_wrap",
        "random_clone",
        "real",
        "reduce_precision",
        "regularized_incomplete_beta",
        "rem",
        "round",
        "rsqrt",
        "select_n",
        "sharding_constraint",
        "shift_left",
        "shift_right_arithmetic",
        "shift_right_logical",
        "sign",
        "sin",
        "sinh",
        "sqrt",
        "square",
        "stop_gradient",
        "sub",
        "tan",
        "tanh",
        "threefry2x32",
        "xor",
        "zeros_like",
        "zeta",
    ]
)

_REDUCTIONS = frozenset(
    [
        "reduce_sum",
        "reduce_max",
        "reduce_min",
        "reduce_prod",
        "reduce_and",
        "reduce_or",
        "reduce_xor",
        "argmax",
        "argmin",
        "reduce",
    ]
)

_ALONG_AN_AXIS = frozenset(
    [
        "cumsum",
        "cumprod",
        "cummax",
        "cummin",
        "cumlogsumexp",
        "sort",
        "top_k",
        "split",
        "concatenate",
        "approx_top_k",
    ]
)

#: How many of the last axes are one matrix or one transform.
_LAST_AXES = dict.fromkeys(
    [
        "cholesky",
        "lu",
        "eigh",
        "eig",
        "qr",
        "svd",
        "householder_product",
        "geqrf",
        "geqp3",
        "schur",
        "tridiagonal",
        "tridiagonal_solve",
        "hessenberg",
        "symmetric_product",
        "lu_pivots_to_permutation",
    ],
    2,
)


def lanes(name: str, settings: Any, shapes: Sequence[Any], out: Any) -> Lanes | None:
    """Return the lanes of one output.

    Args:
      name: the primitive.
      settings: its parameters.
      shapes: shapes of the inputs.
      out: shape of the output.

    Returns:
      None for a primitive that is not known.

    >>> lanes("reduce_sum", {"axes": (0,)}, [(2, 3)], (3,))
    [(1,)]
    >>> lanes("cumsum", {"axis": 0}, [(2, 3)], (2, 3))
    [None, (1,)]
    """
    if name in _ENTRY_BY_ENTRY:
        # A length of 1 is broadcast.
        return [
            tuple(k if k < len(shape) and shape[k] == out[k] else None for shape in shapes)
            for k in range(len(out))
        ]
    if name in _REDUCTIONS:
        axes = settings["axes"] if "axes" in settings else settings["dimensions"]
        kept = [axis for axis in range(len(shapes[0])) if axis not in axes]
        return [tuple(axis if shape else None for shape in shapes) for axis in kept]
    if name in _ALONG_AN_AXIS:
        last = len(shapes[0]) - 1
        names = ("axis", "dimension", "operand_axis", "reduction_dimension")
        along = next((settings[key] for key in names if key in settings), last) % (last + 1)
        return [None if k == along else (k,) * len(shapes) for k in range(len(out))]
    if name in _LAST_AXES:
        lead = len(shapes[0]) - _LAST_AXES[name]
        return [(k,) * len(shapes) if k < lead else None for k in range(len(out))]
    rule = _RULES.get(name)
    return None if rule is None else rule(settings, shapes, out)


def _broadcast(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    places = {axis: k for k, axis in enumerate(settings["broadcast_dimensions"])}
    rest = (None,) * (len(shapes) - 1)
    return [
        (k if k is not None and shapes[0][k] == out[axis] else None, *rest)
        for axis in range(len(out))
        for k in (places.get(axis),)
    ]


def _transpose(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    return [(axis,) for axis in settings["permutation"]]


def _squeeze(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    rank = len(shapes[0])
    gone = {axis % rank for axis in settings["dimensions"]}
    return [(axis,) for axis in range(rank) if axis not in gone]


def _rev(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    return [None if k in settings["dimensions"] else (k,) for k in range(len(out))]


def _pad(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    return [
        (k, None) if tuple(config) == (0, 0, 0) else None
        for k, config in enumerate(settings["padding_config"])
    ]


def _slice(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    return [
        (k, *(None,) * (len(shapes) - 1)) if shapes[0][k] == out[k] else None
        for k in range(len(out))
    ]


def _update(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    rest = (None,) * (len(shapes) - 2)
    return [(k, k, *rest) if shapes[1][k] == out[k] else None for k in range(len(out))]


def _stack(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    along = settings["axis"]
    return [
        None if k == along else (k if k < along else k - 1,) * len(shapes) for k in range(len(out))
    ]


def _unstack(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    return [(k if k < settings["axis"] else k + 1,) for k in range(len(out))]


def _triangular_solve(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    lead = len(out) - 2
    # Each column of the right-hand side is solved for by itself, or each row.
    alone = lead + 1 if settings["left_side"] else lead
    return [(k, k) if k < lead else (None, k) if k == alone else None for k in range(len(out))]


def _tile(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    return [(k,) if count == 1 else None for k, count in enumerate(settings["reps"])]


def _iota(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    return [None if k == settings["dimension"] else () for k in range(len(out))]


def _window(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    found: Lanes = []
    for k in range(len(out)):
        still = settings["window_dimensions"][k] == 1 == settings["window_strides"][k]
        still = still and tuple(settings["padding"][k]) == (0, 0)
        found.append(tuple(k if shape else None for shape in shapes) if still else None)
    return found


def _dot(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    (left, right), (left_batch, right_batch) = settings["dimension_numbers"]
    rest = (None,) * (len(shapes) - 2)
    found: Lanes = [(i, j, *rest) for i, j in zip(left_batch, right_batch, strict=True)]
    for axis in range(len(shapes[0])):
        if axis not in (*left, *left_batch):
            found.append((axis, None, *rest))
    for axis in range(len(shapes[1])):
        if axis not in (*right, *right_batch):
            found.append((None, axis, *rest))
    return found


def _conv(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    numbers = settings["dimension_numbers"]
    found: Lanes = [None] * len(out)
    if settings["batch_group_count"] == 1:
        found[numbers.out_spec[0]] = (numbers.lhs_spec[0], None)
        if settings["feature_group_count"] == 1:
            found[numbers.out_spec[1]] = (None, numbers.rhs_spec[0])
    return found


def _gather(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    numbers, sizes = settings["dimension_numbers"], settings["slice_sizes"]
    offsets, gone = numbers.offset_dims, {*numbers.collapsed_slice_dims}
    own, others = numbers.operand_batching_dims, numbers.start_indices_batching_dims
    windows = [axis for axis in range(len(shapes[0])) if axis not in gone and axis not in own]
    pairs = dict(zip(others, own, strict=True))
    found: Lanes = []
    batch = iter(range(len(shapes[1]) - 1))
    window = iter(windows)
    for k in range(len(out)):
        if k in offsets:
            axis = next(window)
            whole = sizes[axis] == shapes[0][axis]
            found.append((axis, None) if whole else None)
        else:
            index = next(batch)
            found.append((pairs.get(index), index))
    return found


def _scatter(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    numbers = settings["dimension_numbers"]
    own = numbers.operand_batching_dims
    pairs = dict(zip(own, numbers.scatter_indices_batching_dims, strict=True))
    scattered = [k for k in range(len(shapes[2])) if k not in numbers.update_window_dims]
    window = iter(numbers.update_window_dims)
    found: Lanes = []
    for k in range(len(out)):
        if k in pairs:
            found.append((k, pairs[k], scattered[pairs[k]]))
        elif k in numbers.inserted_window_dims:
            found.append(None)
        else:
            axis = next(window)
            found.append((k, None, axis) if shapes[2][axis] == out[k] else None)
    return found


def _fft(settings: Any, shapes: Sequence[Any], out: Any) -> Lanes:
    lead = len(out) - len(settings["fft_lengths"])
    return [(k,) if k < lead else None for k in range(len(out))]


_RULES: dict[str, Callable[[Any, Sequence[Any], Any], Lanes]] = {
    "broadcast_in_dim": _broadcast,
    "transpose": _transpose,
    "squeeze": _squeeze,
    "rev": _rev,
    "pad": _pad,
    "slice": _slice,
    "dynamic_slice": _slice,
    "dynamic_update_slice": _update,
    "iota": _iota,
    "triangular_solve": _triangular_solve,
    "stack": _stack,
    "unstack": _unstack,
    "tile": _tile,
    "dot_general": _dot,
    "conv_general_dilated": _conv,
    "gather": _gather,
    "fft": _fft,
    "random_seed": lambda settings, shapes, out: [(k,) for k in range(len(out))],
    **dict.fromkeys(
        ("scatter", "scatter-add", "scatter_add", "scatter_mul", "scatter_min", "scatter_max",
         "scatter_sub", "scatter-mul", "scatter-min", "scatter-max", "scatter-sub"),
        _scatter,
    ),
    **dict.fromkeys(
        ("reduce_window", "reduce_window_sum", "reduce_window_max", "reduce_window_min",
         "select_and_scatter_add", "select_and_gather_add"),
        _window,
    ),
}  # fmt: skip
