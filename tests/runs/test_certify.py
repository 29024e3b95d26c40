"""`kdtheory run --certify`: a sample set apart, what is certified of it, and who may see it."""

import numpy as np
import pytest

from kdtheory.datasets import load
from kdtheory.errors import InputError
from kdtheory.report.certificate_table import certificate_table
from kdtheory.rows import certificates, students
from kdtheory.runs import RunConfig, execute
from kdtheory.runs.identity import BEFORE, settings_hash


@pytest.fixture(scope="module")
def certified(tiny_anywhere, tmp_path_factory):
    out = tmp_path_factory.mktemp("certified") / "run"
    config = tiny_anywhere.replace(
        out=str(out), task="odd_even", arms=("offline",), temperatures=(4.0,), epochs=2,
        teacher="mlp8x1", teacher_checkpoints=2, points=2, certify=40,
    )  # fmt: skip
    return config, execute(config, quiet=True)


def test_the_sample_is_random_disjoint_and_not_balanced():
    whole = load("digits", task="even_odd", validation_size=0)
    apart = load("digits", task="even_odd", validation_size=0, certify_size=300)
    assert apart.sample is not None
    assert len(apart.train) + 300 == len(whole.train)
    assert not set(apart.sample.places) & set(apart.train.places)
    assert np.array_equal(apart.test.images, whole.test.images)
    # In the order drawn, not the stored one; no class-balanced choice has runs of a fair coin.
    assert not np.array_equal(np.sort(apart.sample.places), apart.sample.places)
    again = load("digits", task="even_odd", validation_size=0, certify_size=300, train_size=50)
    assert again.sample is not None
    assert np.array_equal(again.sample.places, apart.sample.places)
    counts = [
        load("digits", task="even_odd", certify_size=100, seed=seed).sample.labels.sum()
        for seed in range(5)
    ]
    assert len(set(map(int, counts))) > 1


def test_pixels_statistics_are_of_the_rest():
    apart = load("digits", certify_size=300, validation_size=0)
    assert np.allclose(apart.mean, apart.train.images.mean() / 255, atol=1e-6)


def test_without_it_nothing_changes():
    assert load("digits").sample is None
    assert BEFORE["certify"] == 0
    identity = RunConfig.of(certify=0).identity()
    assert settings_hash(identity, "0") == settings_hash(RunConfig().identity(), "0")
    assert settings_hash(RunConfig.of(certify=8).identity(), "0") != settings_hash(identity, "0")


def test_rows_are_certificates_of_each_kernel_and_supervision(certified):
    config, rows = certified
    found = certificates(rows)
    kernels = {(row.get("arm"), row["supervision"]) for row in found}
    assert kernels == {
        (None, "labels"), (None, "offline"), (None, "online"),
        ("offline", "labels"), ("offline", "offline"),
    }  # fmt: skip
    for row in found:
        assert row["n"] == config.measuring.certify
        assert row["validity"] == "certificate"
        assert "drawn without looking" in row["premises"]
        assert 0 < row["certificate"] <= 1
        assert row["certificate"] >= row["prequential_error"]
        assert (row["final"], "network_held_out" in row) == (("arm" in row),) * 2
    assert {row["step"] for row in found if "arm" not in row} == {0}


def test_the_students_own_rows_are_as_ever(certified):
    _, rows = certified
    assert all("sample" not in str(row) for row in students(rows))


def test_table_page_and_files(certified):
    config, rows = certified
    table = certificate_table(rows)
    assert table is not None
    assert {"certificate", "held-out half", "test error"} <= set(table.columns)
    assert "Premises: the examples are independent" in table.caption
    assert set(table.columns["kernel"]) == {
        "before training", "trained: offline, τ = 4"
    }  # fmt: skip
    out = config.output.out
    with open(f"{out}/report.html") as page, open(f"{out}/certificates.md") as written:
        assert "held-out half" in written.read()
        assert "Premises" in page.read()


def test_a_second_call_trains_nothing(certified, monkeypatch):
    config, rows = certified
    monkeypatch.setattr("kdtheory.training.trainer.run", None)
    assert execute(config, quiet=True) == rows


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"certify": 2}, "certify must be 0 or at least 4, got 2"),
        ({"certify": -1}, "certify must be at least 0, got -1"),
        ({"certify": 8, "kernel": "none"}, "certify needs a kernel"),
        ({"certify": 8, "teacher_logits": "x.npy"}, "--certify need the teacher's network"),
    ],
)
def test_what_makes_no_sense_is_one_line(settings, message):
    with pytest.raises(InputError, match=message):
        RunConfig.of(**settings)


def test_more_than_there_are():
    with pytest.raises(InputError, match="certify_size must be below 1297"):
        load("digits", certify_size=1297)
