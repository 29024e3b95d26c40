"""TFDS folders that are truncated, damaged or not whole: one line, whatever is wrong."""

import json
import shutil

import pytest

from kdtheory.datasets import load
from kdtheory.errors import InputError


def record_file(data_dir, split):
    (found,) = data_dir.glob(f"tiny/1.0.0/tiny-{split}.*")
    return found


def test_a_split_without_records_gets_one_line(written, tmp_path):
    shutil.copytree(written["array_record"], tmp_path / "data")
    info = tmp_path / "data/tiny/1.0.0/dataset_info.json"
    content = json.loads(info.read_text())
    for split in content["splits"]:
        split["shardLengths"] = ["0"]
    info.write_text(json.dumps(content))
    with pytest.raises(InputError, match="truncated, damaged or missing"):
        load("tiny", data_dir=tmp_path / "data")


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated_records_get_one_line(data_dir, keep):
    file = record_file(data_dir, "train")
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match=r"tiny.1\.0\.0 .*truncated, damaged or missing") as caught:
        load("tiny", data_dir=data_dir)
    assert "\n" not in str(caught.value)


def test_damaged_records_get_one_line(data_dir):
    file = record_file(data_dir, "train")
    content = bytearray(file.read_bytes())
    start = content.index(b"\x89PNG")
    content[start : start + 60] = b"x" * 60
    file.write_bytes(content)
    with pytest.raises(InputError, match="truncated, damaged or missing") as caught:
        load("tiny", data_dir=data_dir)
    assert "\n" not in str(caught.value)


def test_a_missing_record_file_gets_one_line(data_dir):
    record_file(data_dir, "test").unlink()
    with pytest.raises(InputError, match=r"split 'test'.*truncated, damaged or missing"):
        load("tiny", data_dir=data_dir)


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
def test_a_truncated_description_gets_one_line(written, tmp_path, file):
    shutil.copytree(written["array_record"], tmp_path / "data")
    path = tmp_path / "data/tiny/1.0.0" / file
    path.write_text(path.read_text()[:50])
    with pytest.raises(InputError, match="truncated, damaged or missing") as caught:
        load("tiny", data_dir=tmp_path / "data")
    assert "\n" not in str(caught.value)


def test_fewer_records_than_described_get_one_line(data_dir):
    info = data_dir / "tiny/1.0.0/dataset_info.json"
    content = json.loads(info.read_text())
    for split in content["splits"]:
        split["shardLengths"] = [str(int(length) + 5) for length in split["shardLengths"]]
    info.write_text(json.dumps(content))
    with pytest.raises(InputError, match="truncated, damaged or missing"):
        load("tiny", data_dir=data_dir)
