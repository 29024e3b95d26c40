"""Lower every compiled program of the package for accelerators, on a machine that has none.

    python tests/accelerators/lower_programs.py

`jax.jit` is replaced before the package is imported: each call of a function that the package
compiles is lowered for CUDA and for TPU with its arguments, and then not run: its caller gets ones,
since compiling for the CPU would take most of the time. `jax.default_backend()` says "gpu", so that
what is lowered is the accelerators' branch wherever the code has one. Prints JSON: the programs of
each module that compiles.

Lowering ends before the accelerator's own compiler: it shows that nothing in a program is CPU-only
(a callback, a primitive without a rule, a branch), not that the program fits or is fast.
"""

import collections
import json
import sys
import types
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

PLATFORMS = ("cuda", "tpu")

#: What lowered programs must not call: the host's libraries, and the host's Python.
HOST_ONLY = ("lapack", "callback", "@xla_cpu", "@__cpu")

#: By module, the names of the lowered programs.
programs: dict[str, list[str]] = collections.defaultdict(list)

_jit = jax.jit


class Recorded:
    """A compiled function whose calls are lowered for accelerators."""

    def __init__(self, function: Callable[..., Any], module: str, **settings: Any) -> None:
        self._function, self._module = _jit(function, **settings), module
        self._name = getattr(function, "__qualname__", type(function).__name__)
        self._seen: set[Any] = set()
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._lower(*args, **kwargs)
        if result is None:
            return self._function(*args, **kwargs)
        return jax.tree.map(_stand_in, result)

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        self._lower(*args, **kwargs)
        return self._function.lower(*args, **kwargs)

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def _lower(self, *args: Any, **kwargs: Any) -> Any:
        leaves, structure = jax.tree.flatten((args, kwargs))
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return None  # part of another program, which is lowered as a whole
        kinds = tuple(
            (leaf.shape, str(leaf.dtype)) if hasattr(leaf, "dtype") else type(leaf)
            for leaf in leaves
        )
        traced = self._function.trace(*args, **kwargs)
        if (structure, kinds) in self._seen:
            return traced.out_info
        self._seen.add((structure, kinds))
        try:
            text = traced.lower(lowering_platforms=PLATFORMS).as_text()
        except NotImplementedError as error:
            raise AssertionError(f"{self._module}: {self._name} is not lowered: {error}") from error
        for name in HOST_ONLY:
            if name in text:
                raise AssertionError(f"{self._module}: {self._name} needs {name}")
        programs[self._module].append(self._name)
        return traced.out_info


def _stand_in(leaf: Any) -> jax.Array:
    """Return an array for a result that nobody computes: ones, and zero for steps and indices."""
    floating = jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating)
    return jax.device_put(np.full(leaf.shape, 1 if floating else 0, leaf.dtype))


def recording_jit(function: Callable[..., Any] | None = None, **settings: Any) -> Any:
    """Take the place of `jax.jit`; what others than the package compile stays as it is."""
    module = sys._getframe(1).f_globals.get("__name__", "")
    if not module.startswith("kdtheory"):
        return _jit(**settings) if function is None else _jit(function, **settings)
    if function is None:
        return lambda function: Recorded(function, module, **settings)
    return Recorded(function, module, **settings)


def small_network(outputs: int) -> Any:
    """Return a network of one layer of each kind that is computed in a way of its own."""
    import flax.linen as nn

    from kdtheory.models.depthwise import depthwise_conv
    from kdtheory.models.pooling import max_pool

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
            x = nn.Conv(4, (3, 3))(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
            x = nn.Conv(
                4, (3, 3), feature_group_count=4, conv_general_dilated=depthwise_conv
            )(x)  # fmt: skip
            return nn.Dense(outputs)(max_pool(x).reshape(len(x), -1))

    return Network()


def training() -> None:
    """Train alone, together and packed, distil online, from a stream, with augmentation."""
    from kdtheory import targets
    from kdtheory.datasets import AugmentConfig, load
    from kdtheory.models import init
    from kdtheory.training import (
        OptimizerConfig,
        fit,
        init_state,
        make_optimizer,
        make_train_chunk,
        predict_logits,
        run,
        run_many,
        training_data,
    )
    from kdtheory.training.views import Views

    dataset = load("synthetic", train_size=16, validation_size=0, test_size=8)
    data = training_data(dataset.train, mean=dataset.mean, std=dataset.std)
    model = small_network(dataset.num_outputs)
    keys = jax.random.split(jax.random.key(0), 2)
    variables = [init(model, key, dataset.image_shape) for key in keys]
    optimizer = make_optimizer(OptimizerConfig(), 2)
    states = [init_state(one, optimizer) for one in variables]
    trajectory = targets.stack(variables, [1, 2])
    online = targets.online(model.apply, trajectory, alpha=0.5, temperature=2.0)
    augmentation = AugmentConfig(crop_padding=2, flip=True, cutout=4, mixup=0.2)
    for streamed in (False, True):
        fit(
            model, dataset, online, epochs=1, batch_size=8, augmentation=augmentation,
            streamed=streamed, key=keys[0],
        )  # fmt: skip
    chunk = make_train_chunk(
        model, optimizer, batch_size=8, augmentation=augmentation, length=2,
        compute_dtype="bfloat16",
    )  # fmt: skip
    list(run(chunk, states[0], online, data, keys[0], stops=[2]))
    for together in ("vmap", "packed"):
        list(run_many(chunk, states, [online] * 2, data, keys, stops=[2], together=together))
    views = Views(data=data, key=keys[0], batch_size=8, augmentation=augmentation)
    assert views.shows(views)
    views.logits(model.apply, trajectory, 0)
    predict_logits(
        model.apply, variables[0], dataset.test.images, mean=dataset.mean, std=dataset.std
    )


def kernels() -> None:
    """Compute a kernel whole, in tiles, as products and sketched, and explain it."""
    from kdtheory import models, ntk
    from kdtheory.training import data_mesh

    x = np.ones((4, 8, 8, 3), np.float32)
    vector = np.ones(8, np.float32)
    model = small_network(2)
    variables = models.init(model, jax.random.key(0), x.shape[1:])
    for outputs in ("full", "trace", "diagonal", "sum"):
        ntk.gram(model.apply, variables, x, outputs=outputs, batch_size=2)
    ntk.gram(model.apply, variables, x, x[:2], dtype="float64")
    ntk.gram(model.apply, variables, x, mesh=data_mesh())
    ntk.gram(model.apply, variables, x, method="neural_tangents")
    for keep in (False, True):
        kernel = ntk.operator(model.apply, variables, x, keep_linearization=keep)
        kernel @ vector
    kernel.trace()
    kernel.jacobian.residual(kernel.jacobian.rmatvec(vector), vector, 1.0)
    ntk.operator(model.apply, variables, x, method="neural_tangents") @ vector
    ntk.sketch(model.apply, variables, x, dimension=200, key=jax.random.key(1))
    ntk.explain(model.apply, variables, x)


def main() -> None:
    """Run all and print the programs."""
    jax.jit = recording_jit
    jax.default_backend = lambda: "gpu"
    import time

    for part in (training, kernels):
        began = time.monotonic()
        part()
        print(f"{part.__name__}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    print(json.dumps(programs, indent=1))


if __name__ == "__main__":
    main()
