"""Parameter counts are the published ones, and logits have the right shape.

Sources: "torchvision" is torchvision 0.28 (its `num_params` at 1000 classes, or its model with the
stem of CRD's code put in); "CRD" is the code of Tian et al., Contrastive Representation
Distillation (RepDistiller), counted with PyTorch at 100 classes. Every network marked so was also
compared in its logits, once, with the same weights in PyTorch.
"""

import jax
import jax.numpy as jnp
import pytest

from kdtheory import models

CIFAR, IMAGENET = (32, 32, 3), (224, 224, 3)

COUNTS = [
    # LeCun et al. 1998, as every deep-learning course counts it: 61,706 on 32 x 32 x 1.
    ("lenet5x1", 10, (32, 32, 1), 61_706),
    ("lenet5x1", 10, (28, 28, 1), 61_706),
    ("lenet5x1", 10, CIFAR, 62_006),
    ("mlp", 10, (8, 8, 1), 64 * 256 + 256 + 256 * 256 + 256 + 2570),
    # He et al. 2016, table 6: 0.27M, 0.46M, 0.66M, 0.85M, 1.7M, with option A's shortcuts: 269,722
    # for ResNet-20. Option B adds 16 * 32 + 32 * 64 weights and 2 * (32 + 64) of BatchNorm.
    ("resnet20", 10, CIFAR, 269_722 + 2_752),
    ("resnet32", 10, CIFAR, 466_906),
    ("resnet44", 10, CIFAR, 661_338),
    ("resnet56", 10, CIFAR, 855_770),
    ("resnet110", 10, CIFAR, 1_730_714),
    ("resnet20", 1, CIFAR, 271_889),
    # CRD.
    ("resnet8", 100, CIFAR, 83_892),
    ("resnet14", 100, CIFAR, 181_108),
    ("resnet20", 100, CIFAR, 278_324),
    ("resnet32", 100, CIFAR, 472_756),
    ("resnet44", 100, CIFAR, 667_188),
    ("resnet56", 100, CIFAR, 861_620),
    ("resnet110", 100, CIFAR, 1_736_564),
    ("resnet8x4", 100, CIFAR, 1_233_540),
    ("resnet32x4", 100, CIFAR, 7_433_860),
    ("resnet50", 100, CIFAR, 23_705_252),
    ("wrn16_1", 100, CIFAR, 180_916),
    ("wrn16_2", 100, CIFAR, 703_284),
    ("wrn40_1", 100, CIFAR, 569_780),
    ("wrn40_2", 100, CIFAR, 2_255_156),
    ("vgg8", 100, CIFAR, 3_965_028),
    ("vgg11", 100, CIFAR, 9_277_284),
    ("vgg13", 100, CIFAR, 9_462_180),
    ("vgg16", 100, CIFAR, 14_774_436),
    ("vgg19", 100, CIFAR, 20_086_692),
    ("mobilenet_v2_x0.5", 100, CIFAR, 812_836),
    ("mobilenet_v2", 100, CIFAR, 2_353_060),
    ("shufflenet_v2", 100, CIFAR, 1_355_528),
    ("shufflenet_v2_x0.5", 100, CIFAR, 443_716),
    ("shufflenet_v2_x1.5", 100, CIFAR, 2_580_548),
    ("shufflenet_v2_x2", 100, CIFAR, 5_521_860),
    # Zagoruyko and Komodakis 2016, table 4: 36.5M for WRN-28-10.
    ("wrn28_10", 100, CIFAR, 36_536_884),
    # torchvision, with the small-image stem.
    ("resnet18", 100, CIFAR, 11_220_132),
    ("resnet34", 100, CIFAR, 21_328_292),
    ("resnet101", 100, CIFAR, 42_697_380),
    ("densenet121", 100, CIFAR, 7_048_676),
    ("mobilenet_v3_small", 100, CIFAR, 1_620_356),
    ("mobilenet_v3_large", 100, CIFAR, 4_330_132),
    ("mobilenet_v3_large_x0.35", 100, CIFAR, 592_964),
    ("mobilenet_v3_large_x1.25", 100, CIFAR, 6_723_844),
    # torchvision, as it is.
    ("resnet18_imagenet", 1000, IMAGENET, 11_689_512),
    ("resnet34_imagenet", 1000, IMAGENET, 21_797_672),
    ("resnet50_imagenet", 1000, IMAGENET, 25_557_032),
    ("resnet101_imagenet", 1000, IMAGENET, 44_549_160),
    ("resnet152_imagenet", 1000, IMAGENET, 60_192_808),
    ("densenet121_imagenet", 1000, IMAGENET, 7_978_856),
    ("densenet169_imagenet", 1000, IMAGENET, 14_149_480),
    ("densenet201_imagenet", 1000, IMAGENET, 20_013_928),
    ("mobilenet_v3_small_imagenet", 1000, IMAGENET, 2_542_856),
    ("mobilenet_v3_large_imagenet", 1000, IMAGENET, 5_483_032),
    ("mobilenet_v3_small_x0.5_imagenet", 1000, IMAGENET, 917_264),
    ("mobilenet_v3_large_x0.35_imagenet", 1000, IMAGENET, 997_064),
    ("mobilenet_v3_large_x1.25_imagenet", 1000, IMAGENET, 8_164_744),
    # DeiT-Ti and DeiT-S as timm counts them; then by torchvision's VisionTransformer.
    ("vit_tiny_p16", 1000, IMAGENET, 5_717_416),
    ("vit_small_p16", 1000, IMAGENET, 22_050_664),
    ("vit_tiny_p4", 100, CIFAR, 5_380_132),
]


#: Deep networks, whose abstract evaluation takes seconds.
DEEP = {"resnet152_imagenet", "densenet201_imagenet", "densenet121_imagenet", "resnet110"}


@pytest.mark.parametrize(
    ("name", "num_outputs", "image_shape", "count"),
    [pytest.param(*row, marks=[pytest.mark.slow] * (row[0] in DEEP)) for row in COUNTS],
)
def test_parameters_are_as_many_as_published(summarize, name, num_outputs, image_shape, count):
    found = summarize(name, num_outputs=num_outputs, image_shape=image_shape)
    assert found.num_params == count


#: A model of every family and its sizes of images, with the size before the global pooling, which
#: tells the strides: the parameters do not.
STRIDES = [
    ("resnet20", 32, 8),
    ("resnet18", 32, 4),
    ("resnet18", 64, 8),
    ("resnet18_imagenet", 224, 7),
    ("wrn16_2", 32, 8),
    ("vgg8", 32, 4),
    ("vgg8", 64, 4),
    ("mobilenet_v2_x0.5", 32, 2),
    ("mobilenet_v3_small", 32, 4),
    ("mobilenet_v3_large", 64, 8),
    ("mobilenet_v3_small_imagenet", 224, 7),
    ("mobilenet_v3_large_imagenet", 224, 7),
    ("shufflenet_v2_x0.5", 32, 4),
    ("densenet121", 32, 4),
]


@pytest.mark.parametrize(("name", "side", "last"), STRIDES)
def test_shapes_of_logits_and_of_the_last_feature_maps(name, side, last):
    model = models.create(name, 7)
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    variables = models.abstract_variables(model, images.shape[1:])

    def apply(variables, images):
        return model.apply(variables, images, capture_intermediates=True)

    logits, captured = jax.eval_shape(apply, variables, images)
    assert logits.shape == (2, 7)
    assert logits.dtype == jnp.float32
    maps = [leaf.shape for leaf in jax.tree.leaves(captured) if len(leaf.shape) == 4]
    assert min(shape[1:3] for shape in maps if shape[1] > 1) == (last, last)


@pytest.mark.parametrize(
    "name", ["resnet8", "resnet18", "wrn16_1", "vgg8", "mobilenet_v2", "mobilenet_v3_small",
             "shufflenet_v2_x0.5"],
)  # fmt: skip
def test_training_changes_the_batch_statistics_and_inference_does_not(name):
    model = models.create(name, 3)
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    variables = models.abstract_variables(model, images.shape[1:])

    def apply(variables, images):
        return model.apply(variables, images, train=True, mutable=["batch_stats"])

    logits, changed = jax.eval_shape(apply, variables, images)
    assert logits.shape == (2, 3)
    assert jax.tree.structure(changed["batch_stats"]) == jax.tree.structure(
        variables["batch_stats"]
    )
    # Without mutable collections a change would raise.
    jax.eval_shape(model.apply, variables, images)
