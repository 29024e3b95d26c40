"""What users give to losses and providers: the right number, or one line, also in compiled code."""

import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kdtheory.datasets import AugmentConfig
from kdtheory.errors import InputError
from kdtheory.targets import (
    Examples,
    Labels,
    RandomLabels,
    cross_entropy,
    distillation_divergence,
    distillation_loss,
    offline,
    online,
    residual,
    soft_targets,
    squared_error,
    stack,
    tabulate,
    tabulated,
)
from kdtheory.targets.arguments import check_temperature, check_variables
from kdtheory.targets.providers import mixture_targets
from kdtheory.targets.tabulated import check_tables

LOGITS = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
LABELS = jnp.array([0, 2, 1, 0])
EXAMPLES = Examples(jnp.zeros((4, 2, 2, 1)), LABELS, jnp.arange(4))


def one_line(call, *arguments, **settings):
    with pytest.raises(InputError) as caught:
        call(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_class_that_the_teacher_rules_out_costs_nothing():
    """log 3 - log 2 = 0.405, as the limit of ever smaller logits."""
    ruled_out = jnp.array([[0.0, 0.0, -jnp.inf]])
    value = distillation_divergence(jnp.zeros((1, 3)), ruled_out, 1.0)
    np.testing.assert_allclose(value, [np.log(1.5)], rtol=1e-6)
    near = distillation_divergence(jnp.zeros((1, 3)), jnp.array([[0.0, 0.0, -60.0]]), 1.0)
    np.testing.assert_allclose(value, near, rtol=1e-6)

    def gradient(teacher):
        return jax.grad(lambda f: distillation_divergence(f, teacher, 1.0).sum())(jnp.zeros((1, 3)))

    np.testing.assert_allclose(gradient(ruled_out), [[-1 / 6, -1 / 6, 1 / 3]], rtol=1e-6)
    one = distillation_divergence(jnp.zeros((1, 1)), jnp.array([[-jnp.inf]]), 1.0)
    np.testing.assert_allclose(one, [np.log(2)], rtol=1e-6)
    assert soft_targets(ruled_out).tolist() == [[0.5, 0.5, 0.0]]


@pytest.mark.parametrize("compiled", [False, True])
def test_other_divergences_are_optaxs_bit_for_bit(compiled):
    rng = np.random.default_rng(1)
    f, g = (jnp.asarray(rng.normal(size=(64, 10)) * 5, jnp.float32) for _ in range(2))

    def optaxs(f, g):
        logs = (jax.nn.log_softmax(logits / jnp.float32(4)) for logits in (f, g))
        return jnp.float32(16) * optax.losses.kl_divergence_with_log_targets(*logs)

    def ours(f, g):
        return distillation_divergence(f, g, jnp.float32(4))

    if compiled:
        ours, optaxs = jax.jit(ours), jax.jit(optaxs)
    np.testing.assert_array_equal(ours(f, g), optaxs(f, g))


@pytest.mark.parametrize("tau", [-1.0, 0.0, np.nan, np.inf, jnp.float32(-2)])
def test_a_temperature_that_is_none(tau):
    for call in (
        lambda: distillation_divergence(LOGITS, LOGITS, tau),
        lambda: distillation_loss(LOGITS, LOGITS, LABELS, alpha=0.5, temperature=tau),
        lambda: soft_targets(LOGITS, tau),
        lambda: mixture_targets(LOGITS, LABELS, temperature=tau),
        lambda: mixture_targets(LOGITS, LABELS, temperature=tau, form="logits"),
    ):
        assert "temperature tau must be above 0 and finite" in one_line(call)


@pytest.mark.parametrize("tau", ["4", None, 1j, [1.0, -1.0]])
def test_a_temperature_that_is_no_number(tau):
    assert "temperature tau must be above 0 and finite" in one_line(check_temperature, tau)


def test_a_temperature_that_is_traced_is_not_looked_at():
    traced = jax.jit(lambda tau: distillation_divergence(LOGITS, LOGITS * 2, tau))
    np.testing.assert_allclose(
        traced(4.0), distillation_divergence(LOGITS, LOGITS * 2, 4.0), rtol=1e-5
    )


@pytest.mark.parametrize("alpha", [-0.1, 1.5, np.nan])
def test_a_weight_that_is_none(alpha):
    for call in (
        lambda: distillation_loss(LOGITS, LOGITS, LABELS, alpha=alpha, temperature=1.0),
        lambda: mixture_targets(LOGITS, LABELS, alpha=alpha),
    ):
        assert "alpha must lie in [0, 1]" in one_line(call)


def test_labels_of_a_loss_are_class_indices():
    binary = jnp.zeros((2, 1))
    assert "class 0 stands for -1" in one_line(cross_entropy, binary, jnp.array([-1, 1]))
    assert "must be 0 to 2 for 3" in one_line(cross_entropy, LOGITS, LABELS + 1)
    assert "4 rows of logits, 3 labels" in one_line(cross_entropy, LOGITS, np.arange(3))


@pytest.mark.parametrize("compiled", [False, True])
def test_logits_of_another_task(compiled):
    def call(function, *arguments):
        return one_line(jax.jit(function) if compiled else function, *arguments)

    for teacher in (jnp.zeros((4, 1)), jnp.zeros((4, 10)), jnp.zeros((3, 3))):
        line = call(lambda f, g: distillation_divergence(f, g, 1.0), LOGITS, teacher)
        assert "student's and the teacher's logits must have one shape" in line
    for width in (7, 12):
        logits = jnp.zeros((4, width))
        for provider in (Labels(3), RandomLabels(jax.random.key(0), 3)):
            line = call(lambda f: provider.loss(f, 1, EXAMPLES), logits)  # noqa: B023
            assert f"the network has {width} outputs, and the task 3" in line
    assert "predictions and targets must have one shape" in call(
        squared_error, LOGITS, LOGITS[:, :1]
    )
    assert "targets and initial logits" in call(residual, LOGITS, LOGITS[:, 0])


def test_a_form_that_does_not_exist():
    with pytest.raises(Exception, match="logits"):
        mixture_targets(LOGITS, LABELS, form="logit")


class Tiny(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x.reshape(x.shape[0], -1))


def test_what_a_teacher_is_given_by():
    model = Tiny()
    variables = model.init(jax.random.key(0), EXAMPLES.images)
    good = offline(model.apply, variables)
    assert good.logits(1, EXAMPLES).shape == (4, 3)
    bare = variables["params"]
    assert "got Dense_0; bare parameters" in one_line(offline, model.apply, bare)
    assert "got Dense_0" in one_line(online, model.apply, stack([bare, bare], [1, 2]))
    assert "got list" in one_line(check_variables, [1.0], model.apply)
    assert "model.apply" in one_line(offline, model, variables)
    broken = jax.tree.map(lambda leaf: leaf.at[0].set(jnp.nan), variables)
    assert "must be finite, 1 of ['params']['Dense_0']['bias']" in one_line(
        offline, model.apply, broken
    )
    pair = offline(lambda variables, x: (model.apply(variables, x), x), variables)
    assert "must return logits (n, d), got a tuple of 2" in one_line(pair.logits, 1, EXAMPLES)


def with_cell(value):
    table = np.zeros((4, 3))
    table[1, 2] = value
    return table


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        ([with_cell(np.nan)], "at step 1 must be finite, or -inf .*; 1 of 4 rows are not"),
        ([np.zeros((4, 3)), with_cell(np.inf)], "at step 2 must be finite"),
        ([np.full((4, 3), -np.inf)], "4 of 4 rows are not"),
        ([np.zeros((4, 3)), np.zeros((4, 2))], r"\(4, 2\) at step 2 and \(4, 3\) at step 1"),
        ([np.zeros((4, 3)), np.zeros((5, 3))], r"\(5, 3\) at step 2"),
    ],
)
def test_tables_that_are_no_logits(logits, message):
    with pytest.raises(InputError, match=message):
        tabulate(logits, list(range(1, len(logits) + 1)))


def test_a_table_may_rule_classes_out():
    provider = tabulated(tabulate([with_cell(-np.inf)], [1]))
    assert np.isfinite(provider.loss(LOGITS, 1, EXAMPLES)).all()


def test_a_table_of_other_examples():
    provider = tabulated(tabulate([np.eye(3)[np.array([0, 2, 1, 0])]], [1]))
    check_tables(provider, examples=4, labels=np.asarray(LABELS))
    for count in (3, 5):
        assert f"4 rows, the training split {count} examples" in one_line(
            check_tables, provider, examples=count
        )
    for augmentation in (AugmentConfig(), AugmentConfig(crop_padding=0, flip=False, mixup=0.2)):
        assert "under augmentation, cutout and mixup" in one_line(
            check_tables, provider, augmentation=augmentation
        )
    check_tables(Labels(3), examples=7, augmentation=AugmentConfig())


def test_a_shuffled_table_is_told_by_its_accuracy():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 500)
    right = tabulated(tabulate([np.eye(10)[labels]], [1]))
    shuffled = tabulated(tabulate([np.eye(10)[rng.permutation(labels)]], [1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_tables(right, labels=labels)
    with pytest.warns(UserWarning, match=r"right for \d+\.\d% of the 500 training labels .*order"):
        check_tables(shuffled, labels=labels)


def test_probabilities_are_no_logits():
    probabilities = np.asarray(jax.nn.softmax(LOGITS))
    assert "are probabilities, and logits are wanted" in one_line(tabulate, [probabilities], [1])
    provider = tabulated(tabulate([np.log(probabilities)], [1]))
    np.testing.assert_allclose(provider.targets(1, EXAMPLES), probabilities, rtol=1e-5)


def test_checkpoints_are_of_one_network():
    small, large = ({"params": jnp.zeros(size)} for size in (2, 3))
    assert "the one at step 2 has other variables" in one_line(stack, [small, large], [1, 2])
