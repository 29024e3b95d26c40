"""Names from outside in terminal, Markdown, CSV and JSON: they are text there, and nothing else."""

import csv
import io
import json
import math

import pytest

from kdtheory.files import json_text, parse_json
from kdtheory.plain_text import in_markdown, in_spreadsheet, plain
from kdtheory.report.markdown import markdown
from kdtheory.report.result_files import csv as csv_of
from kdtheory.report.table import Table
from kdtheory.rows import json_lines

HOSTILE = "a\x1b[31m|b\n\n# c [d](http://e) <img src=x> \u202e=1"


def table(name):
    return Table("t", "caption", {"task": [name, "labels"], "n": [1, -2]}, sections=[name] * 2)


def test_control_characters_are_left_out():
    assert plain(HOSTILE) == "a[31m|b  # c [d](http://e) <img src=x> =1"
    assert plain("τ = 4 ± 1, even_odd") == "τ = 4 ± 1, even_odd"


def test_a_name_ends_no_table_and_is_no_link():
    text = markdown(table(HOSTILE))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert all(line.replace("\\|", "").count("|") == 3 for line in lines)
    assert "](" not in text
    assert "http:" not in text
    assert "<img" not in text.replace("\\<img", "")
    assert "\x1b" not in text


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-x", "@sum", "\t=1", "= cmd|' /C calc'!A0"])
def test_a_cell_is_no_formula(name):
    (_, first, _) = csv.reader(io.StringIO(csv_of(table(name))))
    assert first[0].startswith("'")


@pytest.mark.parametrize("name", ["-1.5", "+2", "1e-3", "-inf"])
def test_numbers_stay_numbers(name):
    assert in_spreadsheet(name) == name


def test_usual_names_are_left_alone():
    for name in ("even_odd", "[1.2, 3.4]", "0.5 < 0.7", "resnet8 → lenet5x1"):
        assert in_markdown(name) == name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_no_numbers_that_json_lacks(value):
    text = json_text({"a": [value, {"b": value}], "c": 1.5})
    assert json.loads(text) == {"a": [None, {"b": None}], "c": 1.5}
    assert json.loads(json_lines([{"kind": "student", "condition": value}]))["condition"] is None
    with pytest.raises(ValueError, match="is not JSON"):
        parse_json(json.dumps({"learning_rate": value}))
