"""Sketched kernels: unbiased, with standard errors that cover, for every kind of layer."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from kdtheory.errors import InputError, KernelError
from kdtheory.ntk import gram, sketch, sketch_features


class Net(nn.Module):
    """Convolutions (plain, depthwise), normalisations, Dense layers: every kind of map."""

    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Conv(8, (3, 3))(x))
        x = nn.BatchNorm(use_running_average=True)(x)
        x = nn.Conv(8, (2, 2), feature_group_count=8)(x)
        x = nn.tanh(nn.LayerNorm()(x))
        x = nn.tanh(nn.Dense(12)(x.reshape(x.shape[0], -1)))
        return nn.Dense(2)(x)


class Words(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.tanh(nn.Embed(30, 6)(x).mean(1)))


class Convolution(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Conv(2, (3, 3))(x).sum((1, 2))


def images(shape=(5, 4, 4, 2)):
    return np.random.default_rng(0).normal(size=shape)


@pytest.fixture(scope="module")
def problem():
    x = images()
    return Net().apply, Net().init(jax.random.key(0), x.astype(np.float32)), x


@pytest.mark.parametrize("outputs", ["full", "sum"])
def test_the_mean_over_keys_is_the_kernel_and_standard_errors_cover(problem, outputs):
    exact = gram(*problem, outputs=outputs, dtype="float64")
    found = [
        sketch(*problem, dimension=100, key=jax.random.key(seed), outputs=outputs, dtype="float64")
        for seed in range(100)
    ]
    errors = np.stack([one.gram - exact for one in found])
    stated = np.stack([one.standard_error for one in found])
    assert (stated > 0).all()
    # Unbiased: within the error of the mean, for all entries at once.
    assert (np.abs(errors.mean(0)) <= 4.5 * errors.std(0) / np.sqrt(len(found))).all()
    # Two standard errors cover about 95 %; stated from above, so more is right and less is not.
    assert 0.93 < np.mean(np.abs(errors) <= 2 * stated) < 0.995
    # The stated variance of no entry lies below the true one by more than sampling explains, and
    # pooled over the entries it is the true one and a little more.
    squares, variances = errors**2, stated**2
    below = squares.mean(0) - variances.mean(0)
    assert (below <= 4.5 * (squares - variances).std(0) / np.sqrt(len(found))).all()
    assert 0.95 < variances.sum() / squares.sum() < 1.3
    # The sketch's own word on the whole matrix.
    norms = np.linalg.norm(errors, axis=(1, 2)) / np.linalg.norm(exact)
    words = [one.relative_frobenius_error for one in found]
    np.testing.assert_allclose(np.median(words), np.sqrt(np.mean(norms**2)), rtol=0.25)


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (nn.Dense(2), images((5, 40))),
        (Convolution(), images((5, 4, 4, 6))),
        (Words(), np.random.default_rng(0).integers(0, 30, (5, 3))),
    ],
    ids=["dense", "conv", "embed"],
)
def test_every_kind_of_layer_alone(module, x):
    """Both sides: within the stated errors at half the parameters, exact at all of them."""
    variables = module.init(jax.random.key(0), x.astype(np.float32) if x.dtype.kind == "f" else x)
    exact = gram(module.apply, variables, x, dtype="float64")
    size = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    z = []
    for seed in range(20):
        found = sketch(
            module.apply, variables, x, dimension=size // 2, key=jax.random.key(seed),
            dtype="float64",
        )  # fmt: skip
        random = found.standard_error > 0
        assert random.any()
        z.append((found.gram - exact)[random] / found.standard_error[random])
    assert 0.3 < np.sqrt(np.mean(np.concatenate(z) ** 2)) < 1.3
    whole = sketch(
        module.apply, variables, x, dimension=size, key=jax.random.key(0), dtype="float64"
    )
    np.testing.assert_allclose(whole.gram, exact, rtol=1e-11, atol=1e-11)
    assert not whole.standard_error.any()
    assert whole.relative_frobenius_error == 0


def test_errors_fall_with_the_dimension(problem):
    exact = gram(*problem, dtype="float64")
    norms = []
    for dimension in (60, 240, 10**6):
        errors = [
            sketch(*problem, dimension=dimension, key=jax.random.key(seed), dtype="float64").gram
            - exact
            for seed in range(8)
        ]
        norms.append(np.sqrt(np.mean(np.square(errors))))
    assert norms[0] > 1.5 * norms[1] > 0
    assert norms[2] < 1e-10


def test_features_norms_and_parts_fit_together(problem):
    found = sketch_features(*problem, dimension=90, key=jax.random.key(1), dtype="float64")
    kernel = found.gram()
    exact = gram(*problem, dtype="float64")
    assert found.features.shape == (10, 90)
    assert sum(part.dimension for part in found.parts) == 90
    np.testing.assert_allclose(found.squared_norms.sum(1), np.diag(exact), rtol=1e-11)
    np.testing.assert_allclose(kernel.gram, found.features @ found.features.T, rtol=1e-11)
    np.testing.assert_array_equal(kernel.gram, kernel.gram.T)
    np.testing.assert_array_equal(kernel.standard_error, kernel.standard_error.T)


def test_the_same_key_gives_the_same_sketch_in_blocks_of_any_size(problem):
    first, again, other, in_blocks = (
        sketch_features(
            *problem, dimension=90, key=jax.random.key(seed), batch_size=size, dtype="float64"
        ).features
        for seed, size in ((3, None), (3, None), (4, None), (3, 2))
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, in_blocks, rtol=1e-9, atol=1e-9)
    assert not np.allclose(first, other)


def test_old_style_keys_serve_too(problem):
    new, old = (
        sketch_features(*problem, dimension=90, key=key).features
        for key in (jax.random.key(3), jax.random.PRNGKey(3))
    )
    np.testing.assert_array_equal(new, old)


def test_float32_by_default(problem):
    found = sketch(*problem[:2], problem[2].astype(np.float32), dimension=90, key=jax.random.key(0))
    assert found.gram.dtype == found.standard_error.dtype == found.features.dtype == np.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outputs": "trace"}, "unknown outputs 'trace'; known: full, sum"),
        ({"dimension": 0}, "dimension must be at least 1; got 0"),
        ({"dimension": 3}, r"dimension must be at least \d+ for this model's \d+ groups"),
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
    ],
)
def test_bad_settings_get_one_clear_line(problem, settings, message):
    with pytest.raises(InputError, match=message) as caught:
        sketch(*problem, **{"dimension": 90, "key": jax.random.key(0), **settings})
    assert "\n" not in str(caught.value)


def test_a_function_without_layers_is_sketched_too():
    x = np.eye(3, 2, dtype=np.float32)
    found = sketch(
        lambda v, x: x @ v["params"]["w"],
        {"params": {"w": np.ones((2, 1), np.float32)}},
        x,
        dimension=2,
        key=jax.random.key(0),
    )
    np.testing.assert_array_equal(found.gram, x @ x.T)


def test_gradients_that_are_not_finite_are_refused(problem):
    apply_fn, variables, x = problem
    broken = jax.tree.map(lambda leaf: leaf * np.float32(np.inf), variables)
    with pytest.raises(KernelError, match="gradients are not finite"):
        sketch(apply_fn, broken, x.astype(np.float32), dimension=90, key=jax.random.key(0))


def test_a_pilot_makes_the_features_of_an_example_its_own(problem):
    """Without one they change with the examples beside it; with one they are a fixed kernel's."""
    apply_fn, variables, x = problem
    options = {"dimension": 40, "key": jax.random.key(2), "dtype": "float64"}
    pilot = np.random.default_rng(9).normal(size=(6, 4, 4, 2))
    whole = sketch_features(apply_fn, variables, x, pilot=pilot, **options)
    part = sketch_features(apply_fn, variables, x[3:], pilot=pilot, **options)
    np.testing.assert_allclose(part.features, whole.features[6:], rtol=1e-9, atol=1e-12)
    scaled = np.concatenate([x[:3] * 30, x[3:]])
    own = sketch_features(apply_fn, variables, scaled, **options)
    assert own.features.shape != whole.features.shape or not np.allclose(
        own.features[6:], sketch_features(apply_fn, variables, x, **options).features[6:]
    )
    with pytest.raises(InputError, match="pilot must have examples of shape"):
        sketch_features(apply_fn, variables, x, pilot=pilot[:, :2], **options)
