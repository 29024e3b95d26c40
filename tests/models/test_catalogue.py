"""The list of models in the documents and on the command line is the registry's."""

import re
from pathlib import Path

import pytest

from kdtheory import models
from kdtheory.cli import main
from kdtheory.models.registry import family_of

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
ROW = re.compile(r"^\| `([^`]+)` \| ([\d,]+) \| (\d+) x (\d+) x (\d+) \| (.+) \|$", re.MULTILINE)

#: At collection, before any test registers models of its own.
BUILT_IN = models.known_models()


def test_the_page_lists_every_model_in_order():
    assert tuple(row[0] for row in ROW.findall(PAGE.read_text())) == BUILT_IN


#: Tracing these takes longer than all others together.
DEEP = {"resnet110", "resnet101", "densenet121"}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row[0], marks=[pytest.mark.slow] if row[0] in DEEP else [])
        for row in ROW.findall(PAGE.read_text())
    ],
)
def test_a_row_of_the_page_is_true(summarize, row):
    name, count, *shape, source = row
    shape = tuple(map(int, shape))
    found = summarize(name, num_outputs=100, image_shape=shape)
    assert found.num_params == int(count.replace(",", ""))
    assert (shape, source) == (family_of(name).image_shape, found.source)


def test_every_family_says_where_it_is_published():
    assert all(family_of(name).source for name in BUILT_IN)


def test_command_prints_the_pages_rows(capsys):
    main(["models", "resnet20", "vgg8", "--markdown"])
    printed = capsys.readouterr().out
    assert len(ROW.findall(printed)) == 2
    assert all(line in PAGE.read_text() for line in printed.splitlines())


def test_command_counts_for_the_images_and_outputs_given(capsys):
    main(["models", "lenet5x1", "--num-outputs", "10", "--image-size", "28", "--channels", "1"])
    printed = capsys.readouterr().out
    assert "61,706" in printed
    assert "28 x 28 x 1" in printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["resnet21"], "the depth of a CIFAR ResNet is 6n + 2"),
        (["nothing"], "unknown model 'nothing'"),
        (["resnet8", "--num-outputs", "0"], "num_outputs must be at least 1"),
        (["resnet8", "--image-size", "0"], "must be at least 1"),
        (["vit_tiny_p4", "--image-size", "30"], "do not divide images of 30 x 30"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(capsys, flags, message):
    with pytest.raises(SystemExit) as end:
        main(["models", *flags])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
