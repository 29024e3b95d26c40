"""Streams: the batches, resumption, parts of several processes, and the data behind them."""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from kdtheory.datasets import AugmentConfig, load, load_streamed, stream, streamed, train_view
from kdtheory.errors import InputError

SIZES = {"train_size": 50, "validation_size": 10, "test_size": 20}


@pytest.fixture(scope="module")
def dataset():
    return load("synthetic", label_noise=0.2, **SIZES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    rng = np.random.default_rng(0)
    for split, name in itertools.product(("train", "test"), ("ant", "cat")):
        (root / split / name).mkdir(parents=True)
        for index in range(8):
            pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / split / name / f"{index}.png")
    return f"folder:{root}"


def same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_epoch_visits_every_example_once_and_the_next_in_another_order(dataset):
    batches = list(stream(dataset.train, batch_size=10, seed=0, stop_step=10))
    assert [batch.step for batch in batches] == list(range(10))
    first, second = (np.concatenate([b.indices for b in batches[s : s + 5]]) for s in (0, 5))
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)
    for batch in batches:
        np.testing.assert_array_equal(batch.images, dataset.train.images[batch.indices])
        np.testing.assert_array_equal(batch.labels, dataset.train.labels[batch.indices])


def test_an_incomplete_batch_is_left_out(dataset):
    batches = list(stream(dataset.train, batch_size=20, seed=0, stop_step=4))
    for epoch in (batches[:2], batches[2:]):
        assert len(set(np.concatenate([b.indices for b in epoch]).tolist())) == 40


def test_a_stream_continues_where_another_stopped_whatever_the_threads(dataset):
    whole = list(stream(dataset.train, batch_size=8, seed=3, stop_step=15))
    for start, threads in ((0, 0), (4, 0), (7, 3)):
        rest = stream(
            dataset.train, batch_size=8, seed=3, start_step=start, stop_step=15, threads=threads
        )
        for first, second in zip(whole[start:], rest, strict=True):
            same(first, second)


def test_seeds_differ_in_every_epoch(dataset):
    """Also one seed's second epoch from the next seed's first."""
    orders = [
        tuple(b.indices.tobytes() for b in list(stream(dataset.train, batch_size=10, seed=seed,
                                                       start_step=start, stop_step=start + 5)))
        for seed, start in itertools.product((0, 1, 2), (0, 5, 10))
    ]  # fmt: skip
    assert len(set(orders)) == 9


def test_processes_share_each_batch(dataset):
    whole = list(stream(dataset.train, batch_size=12, seed=0, stop_step=5))
    parts = [
        list(stream(dataset.train, batch_size=12, seed=0, stop_step=5, process_index=index,
                    process_count=3))
        for index in range(3)
    ]  # fmt: skip
    for step, batch in enumerate(whole):
        shares = [part[step].indices for part in parts]
        assert [len(share) for share in shares] == [4, 4, 4]
        assert sorted(np.concatenate(shares)) == sorted(batch.indices)


def test_a_streamed_set_is_the_loaded_one(folder):
    arguments = {"label_noise": 0.25, "noise_kind": "pair", "seed": 2, "validation_size": 4}
    whole, lazily = load(folder, **arguments), load_streamed(folder, **arguments)
    rows = np.array([3, 0, 11])
    np.testing.assert_array_equal(lazily.train.read_images(rows), whole.train.images[rows])
    np.testing.assert_array_equal(lazily.train.labels, whole.train.labels)
    np.testing.assert_array_equal(lazily.train.clean_labels, whole.train.clean_labels)
    np.testing.assert_array_equal(lazily.test.images, whole.test.images)
    np.testing.assert_array_equal(lazily.validation.images, whole.validation.images)
    np.testing.assert_array_equal(lazily.mean, whole.mean)
    np.testing.assert_array_equal(lazily.std, whole.std)
    assert (lazily.image_shape, lazily.num_outputs) == (whole.image_shape, whole.num_outputs)
    for one, other in zip(
        stream(whole.train, batch_size=5, seed=0, stop_step=4),
        stream(lazily.train, batch_size=5, seed=0, stop_step=4),
        strict=True,
    ):
        same(one, other)


def test_only_the_sample_is_read_and_the_fingerprint_has_all_labels(folder, monkeypatch):
    monkeypatch.setattr(streamed, "SAMPLE_SIZE", 6)
    calls = []
    first = load_streamed(
        folder, test_size=3, validation_size=2, on_progress=lambda *counts: calls.append(counts)
    )
    assert calls[-1] == (11, 11)
    assert first.provenance["sampled"] == 6
    whole = load(folder, test_size=3, validation_size=2)
    expected = (whole.train.images[:6] / 255).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(first.mean, expected, rtol=1e-5)
    noisy = load_streamed(folder, test_size=3, validation_size=2, label_noise=0.1)
    assert noisy.provenance["sha256"] != first.provenance["sha256"]


def test_training_from_a_stream_is_resumed_bit_for_bit(dataset):
    config = AugmentConfig(crop_padding=1)

    @jax.jit
    def step(params, number, images, labels):
        key = jax.random.fold_in(jax.random.key(7), number)
        view = train_view(key, images, mean=dataset.mean, std=dataset.std, config=config)

        def loss(params):
            logits = view.images.reshape(len(images), -1) @ params
            return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

        return params - 0.1 * jax.grad(loss)(params)

    def train(params, start, stop):
        for batch in stream(dataset.train, batch_size=16, seed=1, start_step=start, stop_step=stop):
            params = step(params, batch.step, batch.images, batch.labels)
        return params

    initial = jnp.zeros((8 * 8 * 3, 10))
    broken = train(train(initial, 0, 4), 4, 9)
    np.testing.assert_array_equal(broken, train(initial, 0, 9))
    assert not np.array_equal(broken, initial)


def test_errors_while_reading_reach_the_consumer(folder, tmp_path):
    import shutil

    shutil.copytree(folder.removeprefix("folder:"), tmp_path / "copy")
    lazily = load_streamed(f"folder:{tmp_path / 'copy'}", validation_size=0)
    for file in (tmp_path / "copy/train/ant").iterdir():
        file.write_bytes(b"")
    with pytest.raises(InputError, match="truncated, damaged or missing"):
        list(stream(lazily.train, batch_size=16, seed=0, stop_step=1))


def test_without_grain_one_line_says_what_to_install(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(InputError, match=r"needs Grain: pip install 'kdtheory\[grain\]'") as caught:
        stream(dataset.train, batch_size=10, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 51}, "between 1 and the 50 training examples, got 51"),
        ({"start_step": -1}, "start_step must be at least 0"),
        ({"start_step": 3, "stop_step": 2}, "stop_step must be at least start_step 3"),
        ({"threads": 4, "prefetch": 2}, "prefetch must be at least 4"),
        ({"process_index": 2, "process_count": 2}, "process_index must be 0 to 1"),
        ({"process_count": 3}, "batch size 10 must be a multiple of the 3 processes"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_bad_arguments_get_one_line(dataset, arguments, message):
    with pytest.raises(InputError, match=message):
        stream(dataset.train, **({"batch_size": 10, "seed": 0} | arguments))
