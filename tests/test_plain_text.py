"""Names from outside in terminal, Markdown, CSV and JSON: they are text there, and nothing else."""

import csv
import io
import json
import math
import re

import pytest
from PIL import Image

from kdtheory.cli import main
from kdtheory.files import json_text, parse_json
from kdtheory.plain_text import in_markdown, in_spreadsheet, plain
from kdtheory.report.markdown import markdown
from kdtheory.report.page import report_page
from kdtheory.report.result_files import csv as csv_of
from kdtheory.report.results import Results
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


def test_a_page_has_no_control_characters():
    results = Results(tables=[table(HOSTILE)], figures=[], findings=[], notes=[HOSTILE])
    page = report_page(
        results, title=HOSTILE, opening=[], config={"task": HOSTILE + "\x9b"}, provenance={}
    )
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)
    assert "<img src=x" not in page


def test_what_a_name_hides_is_seen_first():
    assert in_spreadsheet("\x1b=1+1") == "'=1+1"


def test_commands_print_names_as_text(capsys, tmp_path):
    for split in ("train", "test"):
        folder = tmp_path / "\x1b[1mset" / split / "a\x1b[31m\u202eb"
        folder.mkdir(parents=True)
        Image.new("L", (6, 6)).save(folder / "0.png")
    main(["data", "show", f"folder:{tmp_path}/\x1b[1mset"])
    shown = capsys.readouterr().out
    assert "a[31mb" in shown
    assert "\x1b" not in shown
