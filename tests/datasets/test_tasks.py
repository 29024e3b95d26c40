import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.datasets import TASKS, Task, register_task
from kdtheory.datasets.superclasses import SUPERCLASSES
from kdtheory.datasets.tasks import make_task
from kdtheory.errors import InputError


def names(k):
    return tuple(f"c{index}" for index in range(k))


def test_first_half_of_100_classes_is_0_to_49_against_50_to_99():
    task = make_task("first_half", names(100))
    np.testing.assert_array_equal(task.class_map, [1] * 50 + [0] * 50)
    assert task.class_names == ("classes 50-99", "classes 0-49")


def test_first_half_of_an_odd_number_takes_the_classes_below_half():
    np.testing.assert_array_equal(make_task("first_half", names(5)).class_map, [1, 1, 1, 0, 0])
    assert make_task("first_half", names(3)).class_names == ("class 2", "classes 0-1")


@given(st.integers(2, 50))
def test_odd_even_and_even_odd_are_opposites(k):
    odd = make_task("odd_even", names(k))
    even = make_task("even_odd", names(k))
    np.testing.assert_array_equal(odd.class_map, np.arange(k) % 2)
    np.testing.assert_array_equal(odd.class_map, 1 - even.class_map)
    assert odd.class_names == even.class_names[::-1] == ("even classes", "odd classes")


@given(st.integers(2, 50), st.sampled_from(sorted(TASKS)))
def test_every_task_maps_onto_its_own_classes(k, name):
    k = {"ten": 10, "coarse_label": 100, "animals": 100}.get(name, k)
    of_cifar = name in ("coarse_label", "animals")
    known = sum(SUPERCLASSES.values(), ()) if of_cifar else names(k)
    task = make_task(name, known)
    assert task.class_map.dtype == np.int32
    assert len(task.class_map) == k
    assert set(task.class_map.tolist()) == set(range(len(task.class_names)))


def test_full_and_ten_leave_the_classes_alone():
    for name in ("full", "ten"):
        task = make_task(name, names(10))
        np.testing.assert_array_equal(task.class_map, np.arange(10))
        assert task.class_names == names(10)


def test_ten_requires_ten_classes():
    with pytest.raises(InputError, match="has 100: use task 'full'"):
        make_task("ten", names(100))


def test_superclasses_are_cifar_100s_alone():
    every = sum(SUPERCLASSES.values(), ())
    assert len(SUPERCLASSES) == 20
    assert len(set(every)) == 100
    task = make_task("coarse_label", tuple(sorted(every)))
    by_name = dict(zip(sorted(every), task.class_map, strict=True))
    assert task.class_names[by_name["wolf"]] == "large_carnivores"
    assert set(np.bincount(task.class_map)) == {5}
    for name in ("coarse_label", "animals"):
        with pytest.raises(InputError, match="100 classes of CIFAR-100, by name; the data set has"):
            make_task(name, names(10))


def test_animals_are_half_of_cifar_100():
    every = tuple(sorted(sum(SUPERCLASSES.values(), ())))
    task = make_task("animals", every)
    assert set(np.bincount(task.class_map)) == {50}
    found = {name: task.class_names[side] for name, side in zip(every, task.class_map, strict=True)}
    told = {found[name] for name in ("wolf", "spider", "girl", "trout")}
    assert told == {"animals and people"}
    told = {found[name] for name in ("rose", "clock", "sea", "tank", "mushroom")}
    assert told == {"plants and things"}


@pytest.mark.skipif(
    not os.path.isdir(os.environ.get("KDTHEORY_DATA_DIR", "") + "/cifar100"),
    reason="CIFAR-100 is not prepared here",
)
def test_superclasses_are_those_of_the_records():
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(
        sorted(Path(os.environ["KDTHEORY_DATA_DIR"], "cifar100").iterdir())[-1]
    )
    fine, coarse = (builder.info.features[name].names for name in ("label", "coarse_label"))
    records = builder.as_data_source("test", decoders={"image": tfds.decode.SkipDecoding()})
    pairs = {(fine[e["label"]], coarse[e["coarse_label"]]) for e in records}
    assert pairs == {(name, group) for group, own in SUPERCLASSES.items() for name in own}


def test_unknown_task_lists_the_known():
    with pytest.raises(
        InputError,
        match=r"unknown task 'odd'; did you mean 'odd_even'.*known: animals, .*odd_even, ten",
    ):
        make_task("odd", names(10))


@given(st.data(), st.integers(3, 12))
def test_a_subset_task_maps_the_classes_in_the_order_written(data, k):
    chosen = data.draw(st.lists(st.integers(0, k - 1), min_size=2, unique=True))
    words = [data.draw(st.sampled_from([str(index), f"c{index}"])) for index in chosen]
    task = make_task("classes:" + ",".join(words), names(k))
    assert task.class_names == tuple(f"c{index}" for index in chosen)
    for index in range(k):
        expected = chosen.index(index) if index in chosen else -1
        assert task.class_map[index] == expected


def test_ranges_hold_both_ends_and_names_go_before_indices():
    np.testing.assert_array_equal(
        make_task("classes:2-4", names(6)).class_map, [-1, -1, 0, 1, 2, -1]
    )
    assert make_task("classes:1, 2", ("2", "1", "0")).class_names == ("1", "2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("0,6", "no class '6'; allowed: indices 0 to 5"),
        ("4-2", "no class '4-2'"),
        ("0-99999999999", "no class"),
        ("0,owl", "no class 'owl'; .* names such as 'c0'"),
        ("", "no class ''"),
        ("3", "at least 2 classes"),
        ("1,0-2", "none of them twice"),
    ],
)
def test_a_bad_subset_gets_one_line(words, message):
    with pytest.raises(InputError, match=message):
        make_task(f"classes:{words}", names(6))


def test_one_class_is_no_task():
    with pytest.raises(InputError, match="at least 2 classes"):
        make_task("full", names(1))


def test_a_users_task_can_be_registered_once(monkeypatch):
    monkeypatch.setattr("kdtheory.datasets.tasks.TASKS", dict(TASKS))

    @register_task("coarse")
    def coarse(class_names: tuple[str, ...]) -> Task:
        return Task(np.arange(len(class_names), dtype=np.int32) // 2, ("low", "middle", "high"))

    np.testing.assert_array_equal(make_task("coarse", names(6)).class_map, [0, 0, 1, 1, 2, 2])
    with pytest.raises(InputError, match="'coarse' exists already"):
        register_task("coarse")(coarse)
