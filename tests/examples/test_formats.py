"""The page of files names what is registered and what is written."""

import re
from pathlib import Path

import pytest
import yaml

from genkit.experiment import config, describe, write_yaml
from genkit.kinds import KINDS
from genkit.model import Format
from genkit.plugin import imported, registry

PAGE = (Path(__file__).parents[2] / "docs/formats.md").read_text()


def rows(header):
    """First cell -> the others, of the table with this header."""
    table = PAGE.partition(f"| {header} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    return {first: others for first, *others in cells}


def named(text):
    """Words that are marked as names."""
    return set(re.findall(r"`([^`\s]+)`", text))


def test_formats_are_those_that_can_be_named():
    """In the direction in which each goes."""
    told = {name.strip("`"): [bool(cell) for cell in cells] for name, cells in rows("format | reads | writes").items()}
    kinds = {item.short: registry().load("formats", item.name) for item in registry().items("formats")}
    assert told == {
        name: [getattr(kind, one) is not getattr(Format, one) for one in ("read", "write")]
        for name, kind in kinds.items()
    }


def test_samples_go_to_the_endings_that_are_told():
    """All endings of all models that are sampled."""
    requests = set()
    for item in registry().items("models"):
        found = getattr(imported(item.exchange.rpartition(" -> ")[2]), "request", None)
        requests |= {found} if isinstance(found, type) else set()
    told = [named(cells[0]) for cells in rows("model of | endings | what is in it").values()]
    assert len(requests) > 5
    for request in requests:
        assert {ending for ending in request.formats if ending} in told, request


def test_pages_of_a_run_have_the_keys_that_are_told():
    """config.yaml and environment.json."""
    about = {name.strip("`"): named(cells[0]) for name, cells in rows("file | what is in it").items()}
    assert set(yaml.safe_load(write_yaml(config("core.mixture"), "default", 0))) == about["config.yaml"]
    assert {*describe(), "begun", "pid", "command"} == about["environment.json"]


def test_experiments_are_there():
    """Those whose arrays are told."""
    known = {item.name for kind in KINDS for item in registry().items(kind)}
    told = {name for cell in rows("experiment | file: arrays") for name in named(cell)} - {"weather"}
    assert len(told) > 15 and told <= known


@pytest.mark.parametrize("place, names", [
    ("genkit_crystals.models.writers", ("COLUMNS", "MADE")),
    ("genkit_weather.forecasting", ("DIMS",)),
    ("genkit_weather.graphs.store", ("META",)),
])  # fmt: skip
def test_columns_are_told(place, names):
    """Those of tables and arrays."""
    wanted = [word for name in names for word in imported(f"{place}:{name}")]
    assert wanted and set(wanted) <= named(PAGE)
