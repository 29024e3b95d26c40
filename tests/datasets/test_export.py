"""Exported data: what a run would use, and where each example is in the source."""

import hashlib
import json

import numpy as np
import pytest

from kdtheory.cli import main
from kdtheory.datasets import load, teacher_split
from kdtheory.datasets.export import export
from kdtheory.datasets.sources import open_source


@pytest.mark.parametrize("task", ["full", "even_odd", "classes:3,5,8"])
def test_ids_are_places_in_the_stored_split(task):
    source = open_source("digits")
    data = load("digits", task=task, train_size=60, validation_size=20, test_size=30)
    for split, stored in (
        (data.train, source.train), (data.validation, source.train), (data.test, source.test),
    ):  # fmt: skip
        again = stored.read_images(split.places, lambda count: None)
        np.testing.assert_array_equal(again, split.images)
    assert not set(data.train.places) & set(data.validation.places)


def test_noise_and_corrupted_teachers_keep_the_ids():
    data = load("digits", train_size=60, label_noise=0.3)
    np.testing.assert_array_equal(data.train.places, load("digits", train_size=60).train.places)
    corrupted = teacher_split(data, "random_labels")
    np.testing.assert_array_equal(corrupted.places, data.train.places)


def test_ids_do_not_enter_the_fingerprint():
    # Of the version before ids: runs of then are continued.
    data = load("digits", task="even_odd", train_size=64)
    assert data.provenance["sha256"].startswith("771f79dbd552ab39")


def test_the_files_are_the_arrays(tmp_path, capsys):
    words = ["--dataset", "digits", "--train-size", "40", "--validation-size", "0"]
    main(["data", "export", *words, "--out", str(tmp_path / "digits")])
    assert "train 40, validation 0, test 500" in capsys.readouterr().out
    data = load("digits", train_size=40, validation_size=0)
    for name, split in (("train", data.train), ("test", data.test)):
        for kind in ("images", "labels"):
            stored = np.load(tmp_path / "digits" / name / f"{kind}.npy")
            np.testing.assert_array_equal(stored, getattr(split, kind))
        ids = np.load(tmp_path / "digits" / name / "ids.npy")
        np.testing.assert_array_equal(ids, split.places)
    assert not (tmp_path / "digits" / "validation").exists()
    described = json.loads((tmp_path / "digits" / "dataset.json").read_text())
    assert described["sha256"] == data.provenance["sha256"]
    assert described["class_names"] == list(data.class_names)


def test_a_file_is_no_folder(tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    with pytest.raises(SystemExit) as end:
        main(["data", "export", "--out", str(tmp_path / "taken")])
    assert end.value.code == 2
    assert "is a file; --out must name a folder" in capsys.readouterr().err


def test_export_says_what_it_wrote(tmp_path):
    data = load("digits", train_size=20, test_size=10, validation_size=5)
    paths = export(data, tmp_path)
    assert all(path.exists() for path in paths)
    assert len(paths) == 10
    for line in (tmp_path / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        content = (tmp_path / name).read_bytes()
        paths.remove(tmp_path / name)
        assert hashlib.sha256(content).hexdigest() == digest
    assert paths == []
