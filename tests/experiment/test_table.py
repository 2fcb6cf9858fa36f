"""How numbers look in tables, which are marked, and what beats a floor."""

import math

import numpy as np
import pytest

from genkit.experiment import Estimate, Link, cell
from genkit.experiment.table import best_cells, filled, luck

HEADER = ["model", "RMSE [K]", "skill", "calls"]
ROWS = [
    ["ours", Estimate(1.25, 0.1), 0.5, 10],
    ["theirs", Estimate(2.0, None), 0.75, 10],
    ["none", None, math.nan, "–"],
    ["oracle", 1.5, 0.9, 1],
]
BEST = {"RMSE [K]": "low", "ski*": "high", "calls": "low"}


@pytest.mark.parametrize(
    "value, shown",
    [
        (Estimate(0.12345, 0.0123), "0.123 ± 0.012"),
        (Estimate(1234.5, 99.0), "1234 ± 99"),
        (Estimate(1234.5, 5000.0), "1234 ± 5000"),
        (Estimate(-0.5, 2.0), "-0.5 ± 2.0"),
        (Estimate(0.5, 0.0), "0.5"),
        (Estimate(0.5, math.nan), "0.5"),
        (Estimate(None, 1.0), "–"),
        (0.123456, "0.1235"),
        (12345, "12345"),
        (None, "–"),
        (True, "True"),
        (Link("SrTiO3", "cif/0.cif"), "SrTiO3"),
        (np.float32(0.123456), "0.1235"),
        (np.int64(12345), "12345"),
    ],
)
def test_cells(value, shown):
    assert cell(value) == shown


def test_the_best_are_marked_and_references_do_not_compete():
    assert best_cells(HEADER, ROWS, BEST, ["oracle"]) == [(0, 1), (0, 3), (1, 2), (1, 3)]
    assert best_cells(HEADER, ROWS, BEST) == [(0, 1), (3, 2), (3, 3)]
    assert best_cells(HEADER, ROWS[2:], BEST, ["oracle"]) == []  # alone one is not best


def test_what_is_shown_is_compared():
    rows = [["a", Estimate(1.251, 0.1)], ["b", Estimate(1.249, 0.1)], ["c", np.float32(1.25)], ["d", 1.26]]
    assert best_cells(["model", "x"], rows, {"x": "low"}) == [(0, 1), (1, 1), (2, 1)]
    assert best_cells(["model", "x"], [["a", np.float32(1)], ["b", np.float32(2)]], {"x": "high"}) == [(1, 1)]
    assert best_cells(["model", "x"], [["a", True], ["b", False]], {"x": "high"}) == []  # no numbers


def test_rows_compete_where_rows_are_named():
    header, rows = (
        ["score", "a", "b", "data"],
        [["RMSE x", 1.0, 2.0, 0.0], ["RMSE y", 3.0, 1.5, 0.0], ["rate", 4, 5, 9]],
    )
    assert best_cells(header, rows, {"RMSE *": "low"}, ["data"]) == [(0, 1), (1, 2)]  # each column has its best row
    assert best_cells(header, rows, {"rate": "high"}, ["data"]) == [(2, 2)]


def test_what_beats_the_floor_is_luck():
    rows = [*ROWS, ["good", 1.0, 0.95, 2]]
    assert luck(HEADER, ROWS, {"skill": "high"}, ["oracle"]) == ""
    assert luck(HEADER, rows, {"RMSE [K]": "low", "skill": "high"}, ["oracle"]) == (
        "Better than oracle by the luck of the samples, as no model can be: "
        "ours (RMSE [K]), good (RMSE [K]), good (skill)."
    )
    assert luck(HEADER, rows, BEST, []) == ""


def test_what_is_empty_is_named_and_left_out():
    header, rows = ["score", "a", "b", "c"], [["x", 1.0, None, math.nan], ["y", None, None, Estimate(None)]]
    assert filled(header, rows) == (["score", "a", "c"], [["x", 1.0, rows[0][3]]], "Without any value: y, b.")
    assert filled(header, rows[:1])[2] == "Without any value: b."
    assert filled(header, [["x", 1, "", True]]) == (header, [["x", 1, "", True]], "")
    for empty in ([["x"], ["y"]], [["x", None, None, None]], []):  # of names alone, or nothing
        assert filled(header[: len(empty[0]) if empty else 4], empty)[1:] == (empty, "")
