"""The steps that compute kernels: self-test, gram, the whole kernel, certified values."""

import functools
import shutil
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.accelerator.result import OutOfTime, Result, Row
from benchmarks.accelerator.settings import Settings
from kdtheory import models
from kdtheory.complexity import certify, ridge_from_trace
from kdtheory.datasets import ImageDataset, encode_labels, normalize
from kdtheory.errors import RunError
from kdtheory.ntk import gram, operator

#: Largest errors, over the largest entry, at which a kernel is right; by precision.
TOLERANCES = {"highest": 1e-4, "tensorfloat32": 2e-2, "bfloat16": 1e-1}

#: The ridge of certified values, in units of the mean of the kernel's diagonal: of a dense kernel,
#: and for each example where only products are made, whose number goes by the condition number.
_RIDGE, _RIDGE_PER_EXAMPLE = 1e-3, 1e-3

#: Called with (done, all) tiles.
OnTile = Callable[[int, int], None]


class Network:
    """A network at its initialisation, and the images its kernel is of."""

    def __init__(self, name: str, outputs: int, images: np.ndarray) -> None:
        self.name, self.images = name, images
        self.model = models.create(name, outputs)
        self.variables = models.init(self.model, jax.random.key(0), images.shape[1:])
        self.parameters = models.num_params(self.variables)

    def kernel(self, n: int | np.ndarray, **settings: Any) -> np.ndarray:
        """Return the kernel of the first n images, or of those at the positions n."""
        images = self.images[:n] if isinstance(n, int) else self.images[n]
        return gram(self.model.apply, self.variables, images, **settings)

    @functools.cached_property
    def forward_flops(self) -> float:
        """Floating-point operations of one image's inference, by XLA's count."""
        compiled = jax.jit(self.model.apply).lower(self.variables, self.images[:8]).compile()
        cost: Any = compiled.cost_analysis() or {}
        cost = cost[0] if isinstance(cost, list) else cost
        return float(cost.get("flops", 0.0)) / 8


def networks(settings: Settings, data: ImageDataset) -> list[Network]:
    """Return the networks of one output whose kernels are computed."""
    images = np.asarray(normalize(data.train.images, data.mean, data.std))
    return [Network(name, 1, images) for name in settings.kernel_models]


def relative_error(kernel: np.ndarray, exact: np.ndarray) -> float:
    """Return the largest error of an entry over the largest entry."""
    return float(np.abs(kernel - exact).max() / np.abs(exact).max())


def self_test(settings: Settings, result: Result, nets: list[Network]) -> None:
    """Compare kernels and products in float32 with float64 neural-tangents, on the device.

    Raises:
      RunError: one is wrong; nothing that follows would mean anything.
    """
    for net in nets:
        for d in settings.test_outputs:
            tested = Network(net.name, d, net.images[: settings.test_size])

            def work(tested: Network = tested) -> Row:
                n = settings.test_size
                exact = tested.kernel(n, dtype="float64", method="neural_tangents")
                row: Row = {
                    f"error_{precision}": relative_error(
                        tested.kernel(n, precision=precision), exact
                    )
                    for precision in TOLERANCES
                }
                vector = np.random.default_rng(1).normal(size=len(exact)).astype(np.float32)
                product = operator(tested.model.apply, tested.variables, tested.images) @ vector
                return {**row, "error_product": relative_error(product, exact @ vector)}

            row = result.measure("self-test", f"{net.name}, {d} outputs", work)
            for precision, tolerance in {**TOLERANCES, "product": TOLERANCES["highest"]}.items():
                # Not "above": an error that is not a number is none either.
                if not row[f"error_{precision}"] <= tolerance:
                    raise RunError(
                        f"self-test: {row['name']}: {precision} is off by "
                        f"{row[f'error_{precision}']:.1e} of the largest entry, allowed is "
                        f"{tolerance:.0e}; no figure of this device can be trusted"
                    )


def gemm_rate(size: int, precision: str, repeats: int = 5) -> float:
    """Return the FLOP/s of a float32 product of square matrices."""
    a = jax.random.normal(jax.random.key(0), (size, size), jnp.float32)
    product = jax.jit(functools.partial(jnp.matmul, precision=precision))
    product(a, a).block_until_ready()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        product(a, a).block_until_ready()
        times.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(times)


def _peak(settings: Settings, result: Result, precision: str) -> float:
    row = result.measure(
        "gram", f"peak, {precision}",
        lambda: {"flops_per_second": gemm_rate(settings.gemm_size, precision)},
    )  # fmt: skip
    return float(row["flops_per_second"])


def _figures(net: Network, n: int, precision: str, seconds: float, peak: float) -> Row:
    """Return a kernel's row; its work is three passes and the symmetric half of J J^T."""
    useful = 3 * n * net.forward_flops + float(n) * (n + 1) * net.parameters
    return {
        "model": net.name, "n": n, "precision": precision, "parameters": net.parameters,
        "seconds": seconds, "share_of_peak": useful / seconds / peak,
    }  # fmt: skip


def gram_times(settings: Settings, result: Result, nets: list[Network]) -> None:
    """Take the time of kernels on the host, the first call (compilation) outside of it."""
    for precision in settings.precisions:
        peak = _peak(settings, result, precision)
        for n in settings.gram_sizes:
            for net in nets:

                def work(net: Network = net, n: int = n, precision: str = precision) -> Row:
                    net.kernel(n, precision=precision)
                    began = time.perf_counter()
                    net.kernel(n, precision=precision)
                    seconds = time.perf_counter() - began
                    return _figures(net, n, precision, seconds, peak)  # noqa: B023

                result.measure("gram", f"{net.name}, n = {n:,}, {precision}", work)


def whole_kernel(settings: Settings, result: Result, net: Network, on_tile: OnTile) -> None:
    """Compute the kernel of all images from tiles, in calls that go on where one was ended.

    Seconds add up over the calls; what a call computed beyond its last stored tile is lost, and
    counted.
    """
    precision, n = settings.precisions[-1], len(net.images)
    peak = _peak(settings, result, precision)
    tiles = result.folder / "tiles"

    def counted(done: int, total: int) -> None:
        on_tile(done, total)
        if done < total:
            result.clock.check()

    def work() -> Row:
        began, before = time.perf_counter(), float(result.content.get("tiles_seconds", 0.0))
        try:
            kernel = net.kernel(n, precision=precision, store=tiles, on_tile=counted)
        except (OutOfTime, KeyboardInterrupt):
            result.content["tiles_seconds"] = before + time.perf_counter() - began
            result.write()
            raise
        seconds = before + time.perf_counter() - began
        some = np.sort(np.random.default_rng(0).choice(n, settings.test_size, replace=False))
        exact = net.kernel(some, dtype="float64", method="neural_tangents")
        error = relative_error(kernel[np.ix_(some, some)], exact)
        shutil.rmtree(tiles, ignore_errors=True)
        return {
            **_figures(net, n, precision, seconds, peak), "error": error,
            "entries_compared": len(some) ** 2, "trace": float(np.trace(kernel, dtype=np.float64)),
        }  # fmt: skip

    result.measure("whole kernel", f"{net.name}, n = {n:,}, {precision}", work)


def certified_values(settings: Settings, result: Result, net: Network, data: ImageDataset) -> None:
    """Bound the complexity of labels and of random labels, with a dense kernel and with none."""
    labels = np.asarray(encode_labels(data.train.labels, 1), np.float64)
    controls = np.random.default_rng(2).choice([-1.0, 1.0], labels.shape)
    n = min(settings.certified_size, len(net.images))

    def dense() -> Row:
        kernel = net.kernel(n)
        ridge = ridge_from_trace(kernel, _RIDGE)
        began = time.perf_counter()
        interval = certify(
            kernel, np.stack([labels[:n], controls[:n]]), ridge=ridge, relative_gap=1e-6
        )
        return _interval(interval, n, ridge, time.perf_counter() - began)

    def matrix_free() -> Row:
        kernel = operator(net.model.apply, net.variables, net.images)
        ridge = _RIDGE_PER_EXAMPLE * kernel.trace()
        began = time.perf_counter()
        interval = certify(
            kernel, np.stack([labels, controls]), ridge=ridge,
            max_products=settings.certified_products, route="dual",
        )  # fmt: skip
        return _interval(interval, len(net.images), ridge, time.perf_counter() - began)

    result.measure("certified", f"{net.name}, n = {n:,}, from the kernel", dense)
    result.measure(
        "certified", f"{net.name}, n = {len(net.images):,}, from products alone", matrix_free
    )


def _interval(interval: Any, n: int, ridge: float, seconds: float) -> Row:
    """Return a certified value's row: the labels' interval, and the random labels'."""
    (lower, random_lower), (upper, random_upper) = (
        [float(value) for value in bound] for bound in (interval.lower, interval.upper)
    )
    return {
        "n": n, "ridge": ridge, "lower": lower, "upper": upper,
        "random_lower": random_lower, "random_upper": random_upper, "seconds": seconds,
        "products": int(np.sum(interval.products)), "route": str(interval.route),
    }  # fmt: skip
