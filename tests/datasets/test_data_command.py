"""`kdtheory data`, in the shell's words."""

import numpy as np
import pytest
from PIL import Image

from kdtheory.cli import main
from kdtheory.datasets.tiny_imagenet import TinyImagenet


def test_show_describes_a_set(capsys):
    main(["data", "show", "digits"])
    said = capsys.readouterr().out
    assert "classes     10: 0, 1, 2" in said
    assert "train       1,297 examples, " in said
    assert "validation  none stored: held out from train" in said
    assert "images      8 x 8 x 1, training split 0.1 MiB" in said
    assert "values      0 to 255 in the first 64" in said


def test_show_draws_a_row_a_class(tmp_path, capsys):
    picture = tmp_path / "samples.png"
    main(["data", "show", "digits", "--picture", str(picture)])
    with Image.open(picture) as image:
        # Eight pixels six times as large, and two between images.
        assert image.size == (10 * 50, 10 * 50)
    with pytest.raises(SystemExit):
        main(["data", "show", "digits", "--picture", str(tmp_path / "samples.gif")])
    assert "--picture must name a .png file" in capsys.readouterr().err


def test_show_checks_a_folder_and_takes_a_size(tmp_path, capsys):
    for index, name in enumerate(("ant", "cat")):
        (tmp_path / "train" / name).mkdir(parents=True)
        pixels = np.zeros((4 + index, 4), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "train" / name / "0.png")
    with pytest.raises(SystemExit) as end:
        main(["data", "show", f"folder:{tmp_path}"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: images differ in size")
    assert said.count("\n") == 1
    assert "--image-size HEIGHT WIDTH" in said
    main(["data", "show", f"folder:{tmp_path}", "--image-size", "6", "8"])
    said = capsys.readouterr().out
    assert "images      6 x 8 x 1" in said
    assert "test        none stored" in said


def test_prepare_passes_the_archive_on(tmp_path, capsys, monkeypatch):
    archive = tmp_path / "tiny.zip"
    with pytest.raises(SystemExit):
        main(["data", "prepare", "tiny_imagenet", "--archive", str(archive), "--data-dir",
              str(tmp_path / "data")])  # fmt: skip
    assert f"cannot read the archive {archive}: No such file" in capsys.readouterr().err
    # Without one it is the address that is asked; here nobody answers.
    monkeypatch.setattr(TinyImagenet, "URL", "http://127.0.0.1:9/tiny-imagenet-200.zip")
    with pytest.raises(SystemExit):
        main(["data", "prepare", "tiny_imagenet", "--data-dir", str(tmp_path / "data")])
    assert "no network connection to 127.0.0.1:9" in capsys.readouterr().err
