"""Models, optimisers and teachers as users have them: they train, or one line says why not."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from kdtheory import models
from kdtheory.datasets import AugmentConfig, load
from kdtheory.errors import InputError
from kdtheory.models.requirements import require_linen
from kdtheory.targets import Labels, offline, tabulate, tabulated
from kdtheory.training import Trainer, fit, init_state, make_train_chunk, run, training_data
from kdtheory.training.fitting import _check_kinds

DATA = load("synthetic", train_size=32, validation_size=16, test_size=16)  # ten classes


def train(model="mlp8x1", targets=None, **settings):
    return fit(model, DATA, targets, epochs=1, batch_size=32, key=jax.random.key(0), **settings)


def one_line(call, *arguments, **settings):
    with pytest.raises(InputError) as caught:
        call(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def logits(x):
    return nn.Dense(10)(x.reshape(x.shape[0], -1))


class NoTrain(nn.Module):
    @nn.compact
    def __call__(self, x):
        return logits(x)


class Deterministic(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic=True):
        return logits(x)


class NoDefault(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return logits(x)


class Pair(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        return logits(x), x


class Named(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        return {"logits": logits(x)}


class Maps(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        return nn.Conv(10, (3, 3))(x)


class OfNnx(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(192, 10, rngs=rngs)

    def __call__(self, x, train=False):
        return self.dense(x.reshape(x.shape[0], -1))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NoTrain(), "NoTrain has no argument `train`: write __call__(self, x, train=False)"),
        (Deterministic(), "train=False), and deterministic=not train inside of it"),
        (NoDefault(), "NoDefault"),
        (Pair(), "Pair must return logits (n, d) alone, got a tuple of 2"),
        (Named(), "got a dict of 1"),
        (Maps(), "Maps must return logits (n, d), got (n, 8, 8, 10)"),
        (nn.Sequential([nn.Dense(10)]), "Sequential has an attribute that cannot be hashed"),
        (
            nn.Sequential((nn.Dense(10),)),
            "Sequential cannot be called as model(images, train=True)",
        ),
        (models.create("mlp8x1", 7), "MLP returns logits (n, 7) and the task has 10 outputs"),
        (models.create("mlp8x1", 12), "MLP returns logits (n, 12) and the task has 10 outputs"),
    ],
)
def test_models_that_cannot_be_trained(model, message):
    assert message in one_line(train, model)


def test_what_is_no_module():
    assert "got the class NoTrain: make one, such as NoTrain()" in one_line(require_linen, NoTrain)
    assert "linen module, got builtin_function_or_method" in one_line(require_linen, print)


def test_nnx_modules_come_over_a_bridge():
    model = OfNnx(nnx.Rngs(0))
    for call in (
        lambda: models.init(model, jax.random.key(0), DATA.image_shape),
        lambda: models.abstract_variables(model, DATA.image_shape),
    ):
        assert "flax.nnx.bridge.to_linen" in one_line(call)
    bridged = nnx.bridge.to_linen(OfNnx)
    assert np.isfinite(train(bridged).history[-1].loss)


def test_a_registered_model_is_judged_when_it_is_made(monkeypatch):
    from kdtheory.models import registry

    monkeypatch.setattr(registry, "_FAMILIES", list(registry._FAMILIES))
    build = lambda num_outputs: OfNnx(nnx.Rngs(0))  # noqa: E731
    models.register("of_nnx", examples=("of_nnx",))(build)
    assert "flax.nnx.bridge.to_linen" in one_line(models.create, "of_nnx", 10)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.polyak_sgd(0.1),
        optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=2)),
    ],
)
def test_optimisers_that_ask_for_the_loss(optimizer):
    assert np.isfinite(train(optimizer=optimizer).history[-1].loss)


def test_an_optimiser_that_asks_for_more_than_there_is():
    assert "asks for more than gradient, parameters" in one_line(train, optimizer=optax.lbfgs())


def test_a_teacher_of_another_task():
    teacher = models.create("mlp8x1", 7)
    variables = models.init(teacher, jax.random.key(0), DATA.image_shape)
    line = one_line(train, targets=offline(teacher.apply, variables))
    assert (
        "student's and the teacher's logits must have one shape, got (32, 10) and (32, 7)" in line
    )
    assert "the network has 10 outputs, and the task 1" in one_line(train, targets=Labels(1))


RIGHT = np.eye(10)[DATA.train.labels]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (RIGHT[:31], "31 rows, the training split 32 examples"),
        (np.concatenate([RIGHT, RIGHT[:1]]), "33 rows, the training split 32 examples"),
        (RIGHT[:, :9], "logits must have one shape, got (32, 10) and (32, 9)"),
    ],
)
def test_tables_of_other_examples_or_classes(table, message):
    assert message in one_line(train, targets=tabulated(tabulate([table], [1])))


def test_tables_know_no_augmented_images_and_shuffled_ones_are_warned_of():
    provider = tabulated(tabulate([RIGHT], [1]))
    assert "knows the training images as they are" in one_line(
        train, targets=provider, augmentation=AugmentConfig()
    )
    with pytest.warns(UserWarning, match=r"training labels .*: are its rows in the order"):
        train(targets=tabulated(tabulate([np.roll(RIGHT, 1, axis=1)], [1])))


def test_a_trainer_judges_tables_too():
    trainer = Trainer(
        module=models.create("mlp8x1", 10), image_shape=DATA.image_shape, examples=32, epochs=1,
        batch_size=32, augmentation=AugmentConfig(),
    )  # fmt: skip
    placed = trainer.place(DATA.train, mean=DATA.mean, std=DATA.std)
    key, right = jax.random.key(0), tabulated(tabulate([RIGHT], [1]))
    one = {"init_key": key, "train_key": key, "points": [1]}
    line = one_line(trainer.train, right, placed, **one)
    assert "knows the training images as they are" in line
    several = {"init_keys": [key], "train_keys": [key], "points": [1], "names": ["a"]}
    assert line == one_line(trainer.train_many, [right], placed, **several)
    plain = trainer.replace(augmentation=None)
    few = tabulated(tabulate([RIGHT[:20]], [1]))
    assert "20 rows, the training split 32 examples" in one_line(plain.train, few, placed, **one)


def test_the_loop_itself_counts_a_tables_rows():
    model, optimizer = models.create("mlp8x1", 10), optax.sgd(0.1)
    chunk = make_train_chunk(model, optimizer, batch_size=16)
    state = init_state(models.init(model, jax.random.key(0), DATA.image_shape), optimizer)
    data = training_data(DATA.train, mean=DATA.mean, std=DATA.std)
    provider = tabulated(tabulate([RIGHT[:20]], [1]))
    with pytest.raises(InputError, match="20 rows, the training split 32 examples"):
        next(run(chunk, state, provider, data, jax.random.key(1), stops=[2]))


def test_a_kernel_needs_no_train_argument():
    from kdtheory import ntk

    model = NoTrain()
    images = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2, 2, 1)), jnp.float32)
    assert ntk.gram(model.apply, model.init(jax.random.key(0), images), images).shape == (30, 30)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("digits", None, None, None), "dataset must be datasets.load(...), got str"),
        ((DATA, RIGHT, None, None), "targets must be a provider, such as targets.offline(...)"),
        ((DATA, NoTrain(), None, None), "got NoTrain"),
        ((DATA, None, "adam", None), "optimizer must be OptimizerConfig(optimizer=...)"),
        ((DATA, None, None, True), "augmentation must be datasets.AugmentConfig(...), got bool"),
    ],
)
def test_arguments_of_other_kinds(values, message):
    assert message in one_line(_check_kinds, *values)
