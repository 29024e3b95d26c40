import numpy as np
import pytest
import requests

from kdtheory.datasets import list_prepared, load
from kdtheory.datasets.prepare import prepare
from kdtheory.errors import InputError


@pytest.fixture
def local_digits(monkeypatch):
    """Let TFDS know a set that needs no download, under a name that it knows."""
    import tensorflow_datasets as tfds

    class Local(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.2.3")
        name = "mnist"

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(4, 4, 1)),
                "label": tfds.features.ClassLabel(num_classes=2),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(8), "test": self._generate_examples(4)}

        def _generate_examples(self, count):
            for index in range(count):
                yield index, {"image": np.full((4, 4, 1), index, np.uint8), "label": index % 2}

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Local(data_dir=data_dir))
    return Local


def test_prepared_sets_are_listed_and_can_be_loaded(local_digits, tmp_path):
    prepared = prepare("mnist", data_dir=tmp_path / "new")
    assert prepared.full_name == "mnist:1.2.3"
    assert prepared.splits == {"train": 8, "test": 4}
    assert prepared.file_format == "array_record"
    assert prepared.num_bytes > 0
    assert list_prepared(tmp_path / "new") == [prepared]
    assert len(load("mnist", data_dir=tmp_path / "new", train_size=8).train) == 8


def test_a_prepared_set_is_left_as_it_is(local_digits, tmp_path, monkeypatch):
    first = prepare("mnist", data_dir=tmp_path)
    monkeypatch.setattr(local_digits, "download_and_prepare", pytest.fail)
    assert prepare("mnist", data_dir=tmp_path) == first


def test_no_network_is_one_line(tmp_path, monkeypatch):
    def refuse(url, **_):
        raise requests.ConnectionError("Name or service not known")

    monkeypatch.setattr(requests, "head", refuse)
    with pytest.raises(
        InputError, match="cannot download 'mnist': no network connection"
    ) as caught:
        prepare("mnist", data_dir=tmp_path)
    assert "\n" not in str(caught.value)
    assert list_prepared(tmp_path) == []


def test_what_tfds_cannot_do_is_one_line(local_digits, tmp_path, monkeypatch):
    def fail(self, **_):
        raise OSError("No space\nleft on device")

    monkeypatch.setattr(local_digits, "download_and_prepare", fail)
    with pytest.raises(InputError, match="TFDS could not prepare 'mnist': No space left on device"):
        prepare("mnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "file_format", "message"),
    [
        ("cifar1000", "array_record", "unknown data set 'cifar1000'.*cifar100"),
        ("mnist:0.0.1", "array_record", "could not prepare 'mnist:0.0.1'.*0.0.1"),
        ("imdb_reviews", "array_record", "no image classification set"),
        ("mnist", "parquet", "unknown file format 'parquet'; known: array_record, tfrecord"),
    ],
)
def test_bad_arguments_are_one_line(tmp_path, name, file_format, message):
    with pytest.raises(InputError, match=message) as caught:
        prepare(name, data_dir=tmp_path, file_format=file_format)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the data folder"):
        prepare("mnist", data_dir=tmp_path / "file" / "data")


def test_damaged_descriptions_are_not_listed(tmp_path):
    for content in ("", "[]", '{"splits": [{}]}', '{"splits": 3}'):
        folder = tmp_path / f"set{len(content)}" / "1.0.0"
        folder.mkdir(parents=True)
        (folder / "dataset_info.json").write_text(content)
    assert list_prepared(tmp_path) == []
