"""Models by name: published parameter counts, output shapes, inference mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.errors import InputError


@pytest.mark.parametrize(
    ("name", "num_outputs", "image_shape", "count"),
    [
        # LeCun et al. 1998, as every deep-learning course counts it: 61,706 on 32 x 32 x 1.
        ("lenet5x1", 10, (32, 32, 1), 61_706),
        ("lenet5x1", 10, (28, 28, 1), 61_706),
        ("lenet5x1", 10, (32, 32, 3), 62_006),
        # He et al. 2016, table 6: 0.27M, 0.46M, 0.85M, 1.7M; with projection shortcuts:
        ("resnet20", 10, (32, 32, 3), 272_474),
        ("resnet32", 10, (32, 32, 3), 466_906),
        ("resnet56", 10, (32, 32, 3), 855_770),
        ("resnet110", 10, (32, 32, 3), 1_730_714),
        # RepDistiller's CIFAR-100 models.
        ("resnet20", 100, (32, 32, 3), 278_324),
        ("resnet56", 100, (32, 32, 3), 861_620),
        ("resnet20", 1, (32, 32, 3), 271_889),
        ("mlp", 10, (8, 8, 1), 64 * 256 + 256 + 256 * 256 + 256 + 2570),
    ],
)
def test_parameter_counts(name, num_outputs, image_shape, count):
    model = models.create(name, num_outputs)
    variables = jax.eval_shape(
        lambda key: model.init(key, jnp.zeros((1, *image_shape))), jax.random.key(0)
    )
    assert models.num_params(variables) == count


def test_lenet_multiplies_the_filters_only():
    model = models.create("lenet5x8", 10)
    params = models.init(model, jax.random.key(0), (32, 32, 3))["params"]
    assert params["Conv_0"]["kernel"].shape == (5, 5, 3, 48)
    assert params["Conv_1"]["kernel"].shape == (5, 5, 48, 128)
    assert params["Dense_0"]["kernel"].shape == (5 * 5 * 128, 120)


@pytest.mark.parametrize("name", ["mlp", "lenet5x1", "resnet8"])
@pytest.mark.parametrize("num_outputs", [1, 10])
def test_inference_has_no_interaction_between_examples(name, num_outputs):
    model = models.create(name, num_outputs)
    variables = models.init(model, jax.random.key(0), (8, 8, 1))
    images = jax.random.normal(jax.random.key(1), (5, 8, 8, 1))
    together = model.apply(variables, images)
    assert together.shape == (5, num_outputs)
    alone = jnp.concatenate([model.apply(variables, images[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_same_key_same_variables():
    model = models.create("lenet5x1", 10)
    first = models.init(model, jax.random.key(3), (8, 8, 1))
    second = models.init(model, jax.random.key(3), (8, 8, 1))
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("name", ["lenet", "resnet", "resnet20x2", "", "lenet5x"])
def test_unknown_name_lists_the_known_ones(name):
    with pytest.raises(InputError, match=r"unknown model .*lenet5x1.*resnet20"):
        models.create(name, 10)


@pytest.mark.parametrize("name", ["resnet21", "resnet2", "lenet5x0", "mlp0x3"])
def test_impossible_size_says_what_is_allowed(name):
    with pytest.raises(InputError, match=name):
        models.create(name, 10)


def test_a_user_adds_a_model_by_a_decorator():
    from flax import linen as nn

    @models.register(r"my_linear(\d+)", examples=("my_linear1",))
    def build(num_outputs, scale):
        return nn.Dense(num_outputs * int(scale))

    assert models.create("my_linear3", 2).features == 6
    assert "my_linear1" in models.known_models()
