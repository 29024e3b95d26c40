"""SSKD: by hand, and which rows its selective transfer keeps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.datasets import AugmentConfig, train_view
from kdtheory.errors import InputError
from kdtheory.methods.sskd import Head, kept_rows, similarities, sskd, sskd_stage, turned


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def kl(p, q):
    return np.sum(p * np.log(p / q), axis=-1)


def by_hand(scores, answers, share):
    """The rows that the authors' code keeps: sorted by the place of the right answer."""
    place = [list(np.argsort(-row)).index(a) for row, a in zip(scores, answers, strict=True)]
    wrong = sum(p > 0 for p in place)
    keep = len(scores) - wrong + int(share * wrong)
    chosen = np.argsort(place, kind="stable")[:keep]
    return np.isin(np.arange(len(scores)), chosen)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
def test_selective_transfer_keeps_all_that_is_right_and_a_share_of_the_rest(share):
    rng = np.random.default_rng(0)
    scores, answers = rng.standard_normal((40, 5)), rng.integers(0, 5, 40)
    with jax.enable_x64(True):
        kept = np.asarray(kept_rows(scores, answers, share))
    np.testing.assert_array_equal(kept, by_hand(scores, answers, share))
    right = scores.argmax(axis=1) == answers
    assert kept[right].all()
    assert kept[~right].sum() == int(share * (~right).sum())
    # Of the wrong rows no one is kept before one whose answer stands higher.
    place = (scores > scores[np.arange(40), answers][:, None]).sum(axis=1)
    if 0 < share < 1:
        assert place[kept & ~right].max() <= place[~kept].min()


def test_turned_views_are_upright_and_by_quarters(setting):
    step = setting.step(None, n=2)
    images = np.asarray(turned(step))
    for k in range(4):
        wanted = np.rot90(np.asarray(step.view(k)), k, axes=(1, 2))
        np.testing.assert_array_equal(images[2 * k : 2 * k + 2], wanted)


def test_views_of_a_step_are_flipped_alike_and_cropped_apart():
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(8, 6, 6, 1)).astype(np.float32)
    key, mean, std = jax.random.key(0), jnp.zeros(1), jnp.ones(1)

    def view(crop, **changes):
        config = AugmentConfig(**{"crop_padding": 2, **changes})
        return np.asarray(train_view(key, images, mean=mean, std=std, config=config, crop=crop)[0])

    assert not np.array_equal(view(0), view(1))
    np.testing.assert_array_equal(view(0, crop_padding=0), view(3, crop_padding=0))


def test_a_step_by_hand(setting):
    head = Head(12).init(jax.random.key(5), jnp.zeros((1, 12)))
    method = sskd(
        dataclasses.replace(setting.pair, stage=head), turned_share=0.5, similarity_share=0.5
    )
    trainer = setting.trainer()
    state = trainer.initial_state(jax.random.key(0), method)
    with jax.enable_x64(True):
        step = setting.step(trainer.module, dtype=jnp.float64)
        state = setting.in_float64(state)
        method = setting.in_float64(method)
        found = method.losses(step, state.variables, state.auxiliary.variables).losses
        images = np.concatenate([np.rot90(step.view(k), k, axes=(1, 2)) for k in range(4)])
        labels = np.asarray(step.examples.labels)
        n = len(labels)

        def linear(layer, x):
            return x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"])

        def both(params, head):
            hidden = np.maximum(linear(params["Dense_0"], images.reshape(4 * n, -1)), 0)
            v = np.maximum(linear(head["Dense_0"], hidden), 0)
            v = linear(head["Dense_1"], v)
            v /= np.linalg.norm(v, axis=1, keepdims=True)
            return linear(params["Dense_1"], hidden), v[n:] @ v[:n].T

        f, s = both(state.params, state.auxiliary.variables["params"])
        g, t = both(setting.teacher_variables["params"], head["params"])
        ce = -np.log(softmax(f[:n])[np.arange(n), labels])
        divergence = 16 * kl(softmax(g / 4), softmax(f / 4))
        chosen = by_hand(g[n:], np.tile(labels, 3), 0.5)
        rows = by_hand(t, np.tile(np.arange(n), 3), 0.5)
        alike = 0.25 * kl(softmax(t / 0.5), softmax(s / 0.5))[rows].mean()
        wanted = 0.1 * ce + 0.9 * divergence[:n] + 2.7 * divergence[n:][chosen].mean() + 10 * alike
        np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_the_stage_before_teaches_the_head_whose_view_is_whose(setting):
    trainer, stage = sskd_stage(setting.pair, setting.trainer(epochs=80))
    assert trainer.epochs == 20  # a quarter
    data = trainer.place(setting.dataset.train, mean=setting.dataset.mean, std=setting.dataset.std)
    losses = []
    ((step, variables),) = trainer.train(
        stage, data, init_key=jax.random.key(0), train_key=jax.random.key(1),
        points=[trainer.total_steps], on_step=lambda _, loss: losses.append(loss),
    )  # fmt: skip
    assert step == 80
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    assert sskd(dataclasses.replace(setting.pair, stage=variables)).teacher.head is variables


def test_similarities_are_cosines():
    v = np.random.default_rng(0).standard_normal((8, 3))
    with jax.enable_x64(True):
        found = np.asarray(similarities(v))
    for i in range(6):
        for j in range(2):
            cosine = v[2 + i] @ v[j] / np.linalg.norm(v[2 + i]) / np.linalg.norm(v[j])
            assert found[i, j] == pytest.approx(cosine, rel=1e-12)


def test_what_is_refused(setting):
    with pytest.raises(InputError, match="needs the teacher's head"):
        sskd(setting.pair)
    flat = dataclasses.replace(setting.pair.networks, image_shape=(1, 64, 1))
    with pytest.raises(InputError, match=r"must be square, got 1 x 64"):
        sskd(dataclasses.replace(setting.pair, networks=flat))
