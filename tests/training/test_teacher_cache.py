"""A teacher's logits on augmented views, computed once: right, rounded, shared, bounded, sealed."""

import concurrent.futures
import threading
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.datasets import AugmentConfig, load
from kdtheory.digests import Owner
from kdtheory.errors import InputError, RunError
from kdtheory.methods.dkd import dkd
from kdtheory.targets import Examples, Labels, distillation_loss, offline, online, stack
from kdtheory.training import TeacherCache, Trainer, cached_teacher
from kdtheory.training.views import Views

KEYS = {"init_key": jax.random.key(2), "train_key": jax.random.key(1)}
NAMES = {"model": "mlp16x1"}
DATA = load("synthetic", train_size=70, test_size=16)
CROPS = AugmentConfig(crop_padding=1)


def trainer(model="mlp8x1", augmentation=CROPS, **settings):
    return Trainer(
        module=models.create(model, DATA.num_outputs), image_shape=DATA.image_shape,
        examples=len(DATA.train), epochs=3, batch_size=16, augmentation=augmentation,
        **{"steps_per_dispatch": 2, **settings},
    )  # fmt: skip


def placed(student):
    return student.place(DATA.train, mean=DATA.mean, std=DATA.std)


TEACHER = trainer("mlp16x1")
CHECKPOINTS = [TEACHER.initial_state(jax.random.key(i)).variables for i in range(3)]
#: The second checkpoint takes over in the middle of an epoch of four steps.
LINE = stack(CHECKPOINTS, [6, 8, 12])
ONLINE = online(TEACHER.apply_fn, LINE, temperature=2.0)
OFFLINE = offline(TEACHER.apply_fn, LINE.final(), temperature=4.0)


@pytest.fixture(scope="module")
def student():
    return trainer()


@pytest.fixture(scope="module")
def data(student):
    return placed(student)


@pytest.fixture
def cache(tmp_path):
    return TeacherCache(folder=tmp_path / "views", budget=2**30)


def cached(teacher, student, data, cache):
    views = student.views(data, train_key=KEYS["train_key"])
    return cached_teacher(teacher, views, cache, names=NAMES)


def trained(student, targets, data, **settings):
    *_, (_, variables) = student.train(targets, data, points=[12], **KEYS, **settings)
    return variables


def same(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), a, b))


def distance(a, b):
    return max(jax.tree.leaves(jax.tree.map(lambda x, y: float(jnp.abs(x - y).max()), a, b)))


def no_teacher(*_):
    raise AssertionError("a forward pass of the teacher")


@pytest.mark.parametrize(
    "augmentation",
    [None, AugmentConfig(crop_padding=1, cutout=2, mixup=0.4)],
    ids=["as they are", "crops, cutout and mixup"],
)
def test_what_is_learnt_is_what_the_teacher_in_the_step_teaches(augmentation, cache):
    student = trainer(augmentation=augmentation)
    data = placed(student)
    plain = trained(student, ONLINE, data)
    other = trained(student, cached(ONLINE, student, data, cache), data)
    moved = distance(plain, student.initial_state(KEYS["init_key"]).variables)
    assert 0 < distance(plain, other) < 1e-2 * moved
    assert cache.computed == 3


def test_float16_errs_as_stated(student, data, cache):
    views = student.views(data, train_key=KEYS["train_key"])
    exact = views.logits(TEACHER.apply_fn, LINE, 1)
    table = np.asarray(cached(ONLINE, student, data, cache).tables.at(4), np.float32)
    assert (np.abs(table - exact) <= np.maximum(2.0**-11 * np.abs(exact), 2.0**-25)).all()
    assert (table != exact).any()
    f = jax.random.normal(jax.random.key(5), exact[0].shape)
    for tau in (1.0, 4.0):
        losses = [
            distillation_loss(
                f, jnp.asarray(g[0]), jnp.zeros(16, jnp.int32), alpha=1.0, temperature=tau
            )
            for g in (exact, table)
        ]
        assert float(jnp.abs(losses[1] / losses[0] - 1).max()) < 2e-3


def test_the_table_of_a_step_is_the_teachers_logits_on_what_it_shows(student, data, cache):
    provider = cached(ONLINE, student, data, cache)
    shown = Examples(jnp.zeros((16, 1)), jnp.zeros(16, jnp.int32), jnp.arange(16))
    table = provider.tables.at(4)
    # The second epoch's second update, number 6, has the first checkpoint, the third the second.
    for update, place in ((6, 0), (7, 1)):
        one = offline(TEACHER.apply_fn, CHECKPOINTS[place])
        alone = cached(one, student, data, cache).loaded(4).logits(update, shown)
        assert (provider.loaded(4).logits(update, shown) == alone).all()
    assert not (table[1] == table[2]).all()
    with pytest.raises(InputError, match="batches of 16 examples, got 3"):
        provider.loaded(4).logits(6, Examples(jnp.zeros((3, 1)), jnp.zeros(3), jnp.arange(3)))
    with pytest.raises(InputError, match="knows the batches of its training alone"):
        provider.logits(1, shown)


def test_further_arms_compute_no_forward_pass(student, data, cache, monkeypatch):
    trained(student, cached(OFFLINE, student, data, cache), data)
    assert (cache.computed, cache.read) == (3, 0)
    # Online shares the last epoch, in which the last checkpoint teaches.
    trained(student, cached(ONLINE, student, data, cache), data)
    assert (cache.computed, cache.read) == (5, 1)
    monkeypatch.setattr(Views, "logits", no_teacher)
    for teacher in (ONLINE, OFFLINE, offline(TEACHER.apply_fn, LINE.final(), alpha=0.5)):
        trained(student, cached(teacher, student, data, cache), data)
    trained(student, dkd(cached(OFFLINE, student, data, cache), warmup_steps=2), data)
    assert (cache.computed, cache.read) == (5, 13)


def test_another_key_model_or_augmentation_is_another_table(student, data, cache):
    cached(OFFLINE, student, data, cache).tables.at(0)
    for other in (
        cached(OFFLINE, trainer(augmentation=None), data, cache),
        cached_teacher(OFFLINE, student.views(data, train_key=jax.random.key(9)), cache,
                       names=NAMES),
        cached_teacher(OFFLINE, student.views(data, train_key=KEYS["train_key"]), cache,
                       names={"model": "another"}),
    ):  # fmt: skip
        other.tables.at(0)
    assert (cache.computed, cache.read) == (4, 0)


def test_a_teacher_of_another_trainings_views_is_refused(student, data, cache):
    provider = cached(OFFLINE, student, data, cache)
    for other, key in ((student, 3), (trainer(augmentation=None), 1)):
        with pytest.raises(InputError, match="another training's views"):
            other.train(provider, data, points=[12], **{**KEYS, "train_key": jax.random.key(key)})
    with pytest.raises(InputError, match=r"cached from targets\.offline.*got Labels"):
        cached(Labels(10), student, data, cache)


def test_a_killed_training_goes_on_to_the_same_bits(student, data, cache, tmp_path):
    whole = trained(student, cached(ONLINE, student, data, cache), data)

    def kill(step, loss):
        if step == 6:
            raise KeyboardInterrupt

    fresh = TeacherCache(folder=tmp_path / "other", budget=2**30)
    eager = student.replace(save_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        trained(eager, cached(ONLINE, student, data, fresh), data, folder=tmp_path / "net",
                on_step=kill)  # fmt: skip
    assert fresh.computed == 2
    for path in sorted(fresh.folder.glob("*/epoch-000000*")):
        path.unlink()
    (next(fresh.folder.glob("*/")) / f".epoch-000002-a.npz.{'0' * 32}.tmp").write_text("half")
    again = cached(ONLINE, student, data, TeacherCache(folder=fresh.folder, budget=2**30))
    assert same(trained(eager, again, data, folder=tmp_path / "net"), whole)
    assert not list(fresh.folder.glob("*/.*.tmp"))


def test_a_damaged_table_is_told_of_and_made_again(student, data, cache):
    first = np.asarray(cached(OFFLINE, student, data, cache).tables.at(0))
    (path,) = cache.folder.glob("*/*.npz")
    content = bytearray(path.read_bytes())
    for where in (200, len(content) // 2):
        damaged = bytearray(content)
        damaged[where] ^= 4
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="is damaged .* made again"):
            found = np.asarray(cached(OFFLINE, student, data, cache).tables.at(0))
        assert (found == first).all()
    assert path.read_bytes() == bytes(content)
    assert cache.computed == 3


def test_anothers_table_is_refused(student, data, cache):
    provider = cached(OFFLINE, student, data, cache)
    provider.tables.at(0)
    (path,) = cache.folder.glob("*/*.npz")
    path.rename(path.with_name(path.name.replace("000000", "000001")))
    with pytest.raises(RunError, match=r"is another's .* of epoch 0, not 1"):
        provider.tables.at(4)


def test_a_link_or_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        TeacherCache(folder=tmp_path / "file", budget=1)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a symbolic link"):
        TeacherCache(folder=tmp_path / "link", budget=1)


@pytest.mark.parametrize(
    ("value", "message"),
    [(1e5, "reach 1e[+]05, and float16 holds 65,504 at most"), (np.nan, "are not finite")],
)
def test_logits_that_float16_does_not_hold_are_one_line(value, message, cache):
    owner = Owner(names={"views": "a", "teacher": "b", "epoch": 2})
    with pytest.raises(InputError, match=f"on the views of epoch 2 {message}"):
        cache.table(owner, (1, 1, 2), lambda: np.float32([[[0.0, value]]]))
    assert not list(cache.folder.rglob("*.npz"))


def test_a_spent_budget_is_told_once_and_changes_no_number(student, data, cache, tmp_path):
    whole = trained(student, cached(ONLINE, student, data, cache), data)
    size = max(path.stat().st_size for path in cache.folder.glob("*/*.npz"))
    told = []
    small = TeacherCache(folder=tmp_path / "small", budget=size + 100, on_full=told.append)
    assert same(trained(student, cached(ONLINE, student, data, small), data), whole)
    assert same(trained(student, cached(ONLINE, student, data, small), data), whole)
    assert small.taken() <= small.budget
    assert (small.computed, small.read, len(told)) == (5, 1, 1)
    assert "its budget is" in told[0]
    with pytest.warns(UserWarning, match="computed for each student anew"):
        cached(OFFLINE, student, data, TeacherCache(folder=tmp_path / "no", budget=1)).tables.at(0)


def test_who_wants_a_table_that_another_computes_waits_for_it(cache):
    owner, calls = Owner(names={"views": "a", "teacher": "b", "epoch": 0}), []

    def compute():
        calls.append(threading.get_ident())
        time.sleep(0.3)
        return np.ones((1, 2, 3), np.float32)

    # Each opens the lock's file itself, as another process would.
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: cache.table(owner, (1, 2, 3), compute), range(3)))
    assert len(calls) == 1
    assert all((table == 1).all() for table in found)


@pytest.mark.parametrize("together", ["interleaved", "vmap"])
def test_networks_that_train_together_have_each_its_own_table(together, data, cache):
    student = trainer(together=together)
    providers = [cached(teacher, student, data, cache) for teacher in (ONLINE, OFFLINE)]
    keys = {"init_keys": [KEYS["init_key"]] * 2, "train_keys": [KEYS["train_key"]] * 2}
    *_, (_, both) = student.train_many(providers, data, points=[12], names=["a", "b"], **keys)
    for variables, provider in zip(both, providers, strict=True):
        assert distance(variables, trained(student, provider, data)) < 1e-6


def test_streamed_images_have_the_same_tables(data, cache, monkeypatch):
    pytest.importorskip("grain")
    student, streamed = trainer(), trainer(streamed=True)
    whole = trained(student, cached(OFFLINE, student, data, cache), data)
    host = placed(streamed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh = TeacherCache(folder=cache.folder.with_name("streamed"), budget=2**30)
        other = trained(streamed, cached(OFFLINE, streamed, host, fresh), host)
        assert distance(whole, other) < 1e-5
        monkeypatch.setattr(Views, "logits", no_teacher)
        trained(streamed, cached(OFFLINE, streamed, host, cache), host)
