"""docs/design.md names the floors, rooms and kinds that the code has."""

import re
import tomllib
from pathlib import Path

from genkit.kinds import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/design.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def rows(header):
    """Cells of the table with this header."""
    table = PAGE.partition(f"| {header} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def named(cell):
    return re.findall(r"`(\w+)`", cell)


def test_the_drawing_has_the_floors():
    (layers,) = (contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
    names = dict(re.findall(r'^    (\w+)\["(.+)"\]$', PAGE, re.M))
    down = [line.split(" --> ") for line in re.findall(r"^    (\w+ --> .+ --> .+)$", PAGE, re.M)]
    order = down[0] + down[1][1:]
    assert down[0][-1] == down[1][0]
    assert [names[one].split(" · ") for one in order] == [re.findall(r"\w+", layer) for layer in layers]


def test_the_drawing_has_the_plugins():
    (text,) = re.findall(r'\(\["plugins: (.+)"\]\)', PAGE)
    assert text.split(" · ") == sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))


def test_every_room_is_explained():
    rooms = [name for cell, *_ in rows("room | what is in it") for name in named(cell)]
    assert sorted(rooms) == sorted(path.parent.name for path in ROOT.glob("genkit/*/__init__.py"))


def test_every_kind_is_there_with_what_it_asks_for():
    asked = {kind: named(methods) for kind, methods, _ in rows("kind | asks for | how to add one")}
    assert asked == {
        kind: [
            name for name in protocol.__dict__ if getattr(protocol.__dict__[name], "__module__", "") == "genkit.kinds"
        ]
        for kind, protocol in KINDS.items()
    }
