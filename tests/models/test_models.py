"""Models by name: what a name means, inference mode, impossible names and sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.errors import InputError


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
    apply = jax.jit(model.apply)
    together = apply(variables, images)
    assert together.shape == (5, num_outputs)
    alone = jnp.concatenate([apply(variables, images[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_same_key_same_variables():
    model = models.create("lenet5x1", 10)
    first = models.init(model, jax.random.key(3), (8, 8, 1))
    second = models.init(model, jax.random.key(3), (8, 8, 1))
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize(
    "name",
    [
        "lenet",
        "resnet",
        "resnet20x",
        "wrn16",
        "vgg",
        "vgg9",
        "densenet120",
        "vit_tiny",
        "",
        "lenet5x",
    ],
)
def test_unknown_name_lists_the_known_ones(name):
    with pytest.raises(InputError, match=r"unknown model .*lenet5x1.*resnet20"):
        models.create(name, 10)


@pytest.mark.parametrize(
    "name",
    [
        "resnet21",
        "resnet2",
        "resnet8x0",
        "lenet5x0",
        "mlp0x3",
        "wrn18_2",
        "wrn16_0",
        "vit_tiny_p0",
        "mobilenet_v2_x0",
        "mobilenet_v3_small_x0.0",
        "vgg8_x0",
        "resnet18_x0",
    ],
)
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


def test_names_of_two_families_mean_the_known_network():
    # 50 and 152 are also 6n + 2; nobody's ResNet-50 is a CIFAR network of 8 blocks a stage.
    assert isinstance(models.create("resnet50", 10), models.resnet_four_stages.FourStageResNet)
    assert isinstance(models.create("resnet44", 10), models.resnet.CifarResNet)
    assert models.create("wrn_40_2", 10) == models.create("wrn40_2", 10)
    assert models.create("resnet20x1", 10) == models.create("resnet20", 10)


def test_a_later_registration_wins_and_its_name_is_listed_once():
    for factor in (1, 2):

        @models.register(r"my_constant", examples=("my_constant",))
        def build(num_outputs, factor=factor):
            return models.mlp.MLP(num_outputs * factor)

    assert models.create("my_constant", 3).num_outputs == 6
    assert models.known_models().count("my_constant") == 1


@pytest.mark.parametrize(
    ("name", "side", "message"),
    [
        ("vgg8", 4, "VGG needs images of at least 8 x 8, got 4 x 4"),
        ("densenet121", 7, "DenseNet needs images of at least 8 x 8, got 7 x 7"),
        ("vit_tiny_p4", 10, "patches of 4 x 4 do not divide images of 10 x 10"),
    ],
)
def test_images_that_a_model_does_not_take(name, side, message):
    with pytest.raises(InputError, match=message):
        models.abstract_variables(models.create(name, 10), (side, side, 3))


def test_widths_scale_the_channels():
    def first_kernels(name):
        params = models.abstract_variables(models.create(name, 10), (32, 32, 3))["params"]
        kernels = [leaf for leaf in jax.tree.leaves(params) if len(leaf.shape) == 4]
        return {kernel.shape[-1] for kernel in kernels}

    assert first_kernels("vgg8_x0.25") == {16, 32, 64, 128}
    assert first_kernels("resnet18_x0.5") == {32, 64, 128, 256}
    assert first_kernels("resnet8x2") == {32, 64, 128}
