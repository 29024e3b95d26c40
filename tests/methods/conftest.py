"""A tiny student, teacher and task for methods with variables of their own."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.datasets import AugmentConfig, load
from kdtheory.methods.crd import crd
from kdtheory.methods.css import css, css_network
from kdtheory.methods.dml import dml
from kdtheory.methods.pair import Networks, Pair
from kdtheory.methods.sskd import Head, sskd
from kdtheory.targets import Examples
from kdtheory.targets.stateful import TrainStep
from kdtheory.training import OptimizerConfig, Trainer

SHAPE, CLASSES = (8, 8, 1), 10


class Setting:
    """What a method's test needs: a pair, a trainer of its student, and single steps."""

    def __init__(self, student: str = "mlp8x1", teacher: str = "mlp12x1") -> None:
        self.trainers: dict[object, Trainer] = {}
        self.dataset = load("digits", train_size=64, test_size=16)
        networks = Networks(
            student=models.create(student, CLASSES), teacher=models.create(teacher, CLASSES),
            image_shape=SHAPE, num_outputs=CLASSES,
        )  # fmt: skip
        assert networks.teacher is not None
        self.teacher_variables = models.init(networks.teacher, jax.random.key(7), SHAPE)
        self.pair = Pair(
            networks=networks, teacher_apply=networks.teacher.apply,
            teacher_variables=self.teacher_variables,
            labels=np.asarray(self.dataset.train.labels), total_steps=8,
        )  # fmt: skip

    def trainer(self, module=None, **changes) -> Trainer:
        settings = {
            "module": module or self.pair.networks.student, "image_shape": SHAPE, "examples": 64,
            "epochs": 2, "batch_size": 16, "save_seconds": 0.0, "steps_per_dispatch": 1,
            "optimizer": OptimizerConfig(learning_rate=0.05),
            "augmentation": AugmentConfig(crop_padding=1),
        }  # fmt: skip
        return Trainer(**{**settings, **changes})

    def train(self, method, module=None, **arguments):
        # One trainer a network: it compiles once a method.
        trainer = self.trainers.setdefault(module, self.trainer(module))
        data = trainer.place(self.dataset.train, mean=self.dataset.mean, std=self.dataset.std)
        keys = {"init_key": jax.random.key(0), "train_key": jax.random.key(1)}
        return trainer, trainer.train(method, data, points=[0, 4, 8], **keys, **arguments)

    def step(self, module, seed=0, n=5, dtype=jnp.float32) -> TrainStep:
        """Return a step on n random images, each view of it another draw."""
        rng = np.random.default_rng(seed)
        views = [jnp.asarray(rng.standard_normal((n, *SHAPE)), dtype) for _ in range(4)]
        indices = jnp.asarray(rng.permutation(64)[:n], jnp.int32)
        labels = jnp.asarray(self.dataset.train.labels)[indices]

        def forward(variables, images, dropout=1, **arguments):
            del dropout
            mutable = [name for name in variables if name != "params"]
            return module.apply(variables, images, train=True, mutable=mutable, **arguments)

        return TrainStep(
            forward, Examples(views[0], labels, indices), lambda k: views[k], jnp.int32(1),
            jax.random.key(seed),
        )  # fmt: skip

    @staticmethod
    def in_float64(tree):
        """Return a pytree with float64 in the place of other floats."""

        def widened(x):
            floating = jnp.issubdtype(jnp.result_type(x), jnp.floating)
            return jnp.asarray(x, jnp.float64) if floating else x

        return jax.tree.map(widened, tree)


class Small(nn.Module):
    """Two convolutions, the second of which makes the map smaller."""

    num_outputs: int

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(2, (3, 3))(x)))
        x = nn.relu(nn.Conv(3, (3, 3), strides=2)(x)).mean(axis=(1, 2))
        return nn.Dense(self.num_outputs)(x)


def with_head(pair: Pair) -> Pair:
    stage = Head(12).init(jax.random.key(9), jnp.zeros((1, 12)))
    return dataclasses.replace(pair, stage=stage)


def branched(pair: Pair) -> nn.Module:
    return css_network(dataclasses.replace(pair.networks, student=Small(CLASSES)))


#: Of a pair: a method, and the student that it trains where that is not the pair's.
METHODS: dict[str, Callable[[Pair], tuple[Any, nn.Module | None]]] = {
    "dml": lambda pair: (dml(), None),
    "crd": lambda pair: (crd(pair, negatives=12, width=6), None),
    "sskd": lambda pair: (sskd(with_head(pair)), None),
    "css": lambda pair: (css(), branched(pair)),
}

#: Each branch of css compiles its own copy of the network: its loss and its step are tested quickly
#: in test_css.
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name == "css")) for name in METHODS]


@pytest.fixture(scope="session")
def setting():
    return Setting()


@pytest.fixture(scope="module", params=NAMES)
def method_and_module(request, setting):
    return METHODS[request.param](setting.pair)
