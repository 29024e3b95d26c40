"""A table of any cells in four forms: what stands in them, and what cannot be a table."""

import dataclasses
import io
import math
import re

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.errors import InputError
from kdtheory.report.great import great
from kdtheory.report.latex import latex
from kdtheory.report.markdown import markdown
from kdtheory.report.result_files import csv, write_table
from kdtheory.report.table import MISSING, Table, format_cell, format_number
from kdtheory.statistics.seeds import MeanSd

TABLE = Table(
    "table",
    "Means over seeds.",
    {
        "arm": ["labels", "offline | τ = 4"],
        "accuracy (%)": [MeanSd(56.789, 0.345, 3), MeanSd(61.0, None, 1)],
        "n": [512, None],
        "ratio": [0.012345, math.inf],
    },
)


def test_markdown():
    lines = markdown(TABLE).splitlines()
    assert lines[0] == "| arm | accuracy (%) | n | ratio |"
    assert lines[1] == "|:---|---:|---:|---:|"
    assert lines[2] == "| labels | 56.79 ± 0.34 | 512 | 0.0123 |"
    assert lines[3] == rf"| offline \| τ = 4 | 61 | {MISSING} | {MISSING} |"
    assert lines[-1] == "Means over seeds."


def test_csv_is_unrounded_and_splits_means():
    read = polars.read_csv(io.StringIO(csv(TABLE)))
    assert read.columns == [
        "arm", "accuracy (%) mean", "accuracy (%) sd", "accuracy (%) seeds", "n", "ratio"
    ]  # fmt: skip
    assert read["accuracy (%) mean"].to_list() == [56.789, 61.0]
    assert read["accuracy (%) sd"].to_list() == [0.345, None]
    assert read["accuracy (%) seeds"].to_list() == [3, 1]


def test_csv_keeps_a_cell_without_a_mean_empty():
    table = Table("t", "", {"gain": [None, MeanSd(1.5, 0.1, 3)]})
    read = polars.read_csv(io.StringIO(csv(table)))
    assert read["gain mean"].to_list() == [None, 1.5]


def test_latex_is_escaped():
    text = latex(dataclasses.replace(TABLE, caption="100 % of a_b"))
    assert r"(\%)" in text
    assert r"\caption{100 \% of a\_b}" in text
    assert text.count("\\\\\n") == 1 + 2


def test_a_latex_table_of_few_columns_fits_into_a_papers_column():
    assert latex(TABLE).startswith("% Needs \\usepackage{booktabs,graphicx}.\n\\begin{table}\n")
    wide = Table("wide", "", {f"column {i}": [i] for i in range(6)})
    assert r"\begin{table*}" in latex(wide)
    assert r"\end{table*}" in latex(wide)


def test_words_are_on_the_left_and_numbers_on_the_right_in_html():
    table = Table("t", "", {"rate": ["0.1"], "arm": ["labels"], "n": [5], "accuracy": [0.5]})
    sides = re.findall(r'class="gt_row gt_(left|right)"', great(table).as_raw_html())
    assert sides == ["left", "left", "right", "right"]


def test_all_four_files(tmp_path):
    paths = write_table(TABLE, tmp_path)
    assert [path.name for path in paths] == ["table.md", "table.csv", "table.tex", "table.html"]
    page = (tmp_path / "table.html").read_text()
    assert "56.79 ± 0.34" in page
    assert "Means over seeds." in page


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(InputError, match=r"'broken' needs columns of one length, got \[1, 2\]"):
        Table("broken", "", {"a": [1, 2], "b": [1]})


def test_lines_may_lack_cells_and_hold_values_by_seed():
    table = Table.of_lines(
        "t", "", [{"arm": "teacher"}, {"arm": "labels", "gap": {0: 1.0, 3: 2.0}}]
    )
    assert list(table.columns) == ["arm", "gap"]
    assert table.columns["gap"] == [None, MeanSd(1.5, pytest.approx(0.5**0.5), 2)]


@given(st.floats(-1e9, 1e9, allow_nan=False))
def test_a_number_keeps_three_digits(value):
    assert float(format_number(value)) == pytest.approx(value, rel=6e-3)


@given(st.floats(-1e5, 1e5), st.floats(0, 1e5))
def test_a_mean_is_shown_to_a_tenth_of_its_deviation(mean, sd):
    shown_mean, shown_sd = format_cell(MeanSd(mean, sd, 3)).split(" ± ")
    # Half a unit of the last digit shown.
    assert abs(float(shown_mean) - mean) <= max(0.06 * sd, 6e-3 * abs(mean), 1e-6)
    assert abs(float(shown_sd) - sd) <= max(0.06 * sd, 6e-3 * abs(mean), 1e-6)


def test_cells_without_a_number():
    assert format_cell(MeanSd(None, None, 0)) == MISSING
    assert format_cell(math.nan) == MISSING
    assert format_cell(None) == MISSING
    assert format_cell("labels") == "labels"
