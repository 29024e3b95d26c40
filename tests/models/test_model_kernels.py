"""Every family's kernel is computed layer by layer, and exactly.

The families' blocks are numerically compared with neural-tangents in their narrowest form. Whole
networks by name are looked at abstractly: each layer must take a form of its own, since the general
way is one vector-Jacobian product an example.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.models.densenet import DenseNet
from kdtheory.models.mobilenet_v2 import MobileNetV2
from kdtheory.models.mobilenet_v3 import Bottleneck, InvertedResidual
from kdtheory.models.resnet_four_stages import FourStageResNet
from kdtheory.models.shufflenet_v2 import ShuffleNetV2
from kdtheory.models.vgg import VGG
from kdtheory.models.vit import VisionTransformer
from kdtheory.models.wide_resnet import PreactivationBlock
from kdtheory.ntk import gram
from kdtheory.ntk.gradient_forms import ENTRYWISE, form_of
from kdtheory.ntk.methods import make_engine
from kdtheory.ntk.per_example import find_gradients


def drawn_variables(model, image_shape):
    """Normal parameters and statistics, positive variances: nothing to compile."""
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        values = rng.normal(size=leaf.shape) * 0.7
        return (0.5 + np.abs(values) if path[-1].key == "var" else values).astype(leaf.dtype)

    abstract = models.abstract_variables(model, image_shape)
    return jax.tree_util.tree_map_with_path(draw, abstract)


class Pooled(nn.Module):
    """Blocks, global pooling and logits."""

    blocks: tuple[nn.Module, ...]

    @nn.compact
    def __call__(self, x, train=False):
        for block in self.blocks:
            x = block(x, train)
        return nn.Dense(2)(x.mean(axis=(1, 2)))


MOBILE_V3 = Pooled(
    (
        InvertedResidual(Bottleneck(3, 16, 8, True, False, 2), 0.5),
        InvertedResidual(Bottleneck(5, 16, 8, True, True, 1)),
    )
)

NARROW = {
    "resnet_four_stages": FourStageResNet(2, blocks=(1, 1), bottleneck=True, filters=(2, 3)),
    "wide_resnet": Pooled((PreactivationBlock(2), PreactivationBlock(3, stride=2))),
    "vgg": VGG(2, convolutions=(1, 2), filters=(2, 3)),
    "mobilenet_v2": MobileNetV2(2, width=0.1, stages=((2, 40, 2, 2),)),
    "mobilenet_v3": MOBILE_V3,
    "shufflenet_v2": ShuffleNetV2(2, channels=(4, 5), units=(1,), stem=2),
    "densenet": DenseNet(2, layers=(1, 1), growth=2),
    "vit": VisionTransformer(2, patch=4, width=4, depth=1, heads=2),
}


#: Seconds each, most of them compilation.
LONG = {"mobilenet_v2", "mobilenet_v3", "densenet", "shufflenet_v2", "resnet_four_stages"}


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in NARROW]
)
def test_narrow_networks_are_exact_and_examples_do_not_interact(family):
    model = NARROW[family]
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 2)).astype(np.float32)
    variables = drawn_variables(model, x.shape[1:])
    kernel, expected = (
        gram(model.apply, variables, x, method=method, dtype="float64")
        for method in ("layerwise", "neural_tangents")
    )
    assert np.abs(kernel - expected).max() <= 1e-11 * np.abs(expected).max()
    assert np.linalg.matrix_rank(expected) == len(expected)  # not a comparison of zeros
    apply = jax.jit(model.apply)
    others = np.concatenate([x[:1], -x[1:]])
    logits, again = apply(variables, x), apply(variables, others)
    np.testing.assert_allclose(logits[0], again[0], rtol=1e-5, atol=1e-6)
    assert np.abs(logits[1:] - again[1:]).max() > 1e-3


def general_equations(name):
    model = models.create(name, 2)
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    found = find_gradients(model.apply, models.abstract_variables(model, x.shape[1:]), x)
    return [
        meeting.equation.name
        for meeting in found.meetings
        if form_of(found.program, meeting) == "general" and meeting.equation.name not in ENTRYWISE
    ]


@pytest.mark.parametrize(
    "name",
    ["mlp", "lenet5x1", "resnet20", "resnet8x4", "resnet18", "resnet50", "resnet18_imagenet",
     "wrn16_2", "vgg16", "mobilenet_v2_x0.5", "mobilenet_v3_small", "mobilenet_v3_large_x0.35",
     "shufflenet_v2", "densenet121"],
)  # fmt: skip
def test_every_equation_takes_its_cheap_form(name):
    assert general_equations(name) == []


def test_a_transformers_token_is_put_beside_its_positions_the_general_way():
    assert general_equations("vit_tiny_p4") == ["concatenate"]


@pytest.mark.parametrize("name", ["resnet8", "vgg8", "vit_tiny_p8"])
def test_auto_chooses_layerwise(name):
    model = models.create(name, 2)
    x = np.zeros((2, 16, 16, 3), np.float32)
    variables = models.abstract_variables(model, x.shape[1:])
    engine = make_engine(model.apply, variables, x, outputs="full", method="auto")
    assert engine.method == "layerwise"
    assert engine.reason == "exact for every function"
