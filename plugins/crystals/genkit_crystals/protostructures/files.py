"""Files of labels: CSV tables as of the reference code and of matbench-discovery, orbit lists as of pyxtal."""

import csv
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genkit.errors import DataError
from genkit.files import write
from genkit_crystals.protostructures.elements import numbers, symbols
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.sources import Reject, numbers_of, rows
from genkit_crystals.protostructures.wyckoff import LETTERS, tables

COLUMNS = ("protostructure", "wyckoff_spglib", "wyckoff")


def read_labels(path: str | Path) -> tuple[list[Protostructure], list[dict[str, float]], list[Reject]]:
    """Protostructures of a table, the numbers that stand beside each by name, and the rows that were refused.

    The column of labels is "protostructure", "wyckoff_spglib" or "wyckoff"; a file may be packed with gzip.
    """
    path = Path(path)
    found, values, rejects = [], [], []
    for place, row, column in rows(path, COLUMNS):
        try:
            found.append(Protostructure.from_label(row[column] or ""))
            values.append(numbers_of(row))
        except DataError as error:
            rejects.append(Reject(place, str(error)))
    return found, values, rejects


def write_table(path: str | Path, names: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """A CSV file of rows, under the names of their columns."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(names)
    table.writerows(rows)
    write(Path(path), out.getvalue())


def to_pyxtal(crystal: Protostructure) -> dict[str, Any]:
    """Keyword arguments of `pyxtal.from_random`, also the orbit list of WyFormer."""
    multiplicity, system = tables().multiplicity[crystal.group], crystal.composition
    sites = [
        [f"{multiplicity[row]}{LETTERS[row]}" for row, element, n in crystal.orbits if element == z for _ in range(n)]
        for z in system
    ]
    return {
        "group": crystal.group,
        "species": [symbols()[z] for z in system],
        "numIons": list(system.values()),
        "sites": sites,
    }


def from_pyxtal(record: dict[str, Any]) -> Protostructure:
    """The protostructure of such a dict; raises DataError."""
    try:
        orbits = [
            (LETTERS.index(re.fullmatch(r"\d*([a-zA])", site)[1]), numbers()[element], 1)  # type: ignore[index]
            for element, sites in zip(record["species"], record["sites"], strict=True)
            for site in sites
        ]
        crystal = Protostructure.of(int(record["group"]), orbits)
        amounts = [crystal.composition[numbers()[element]] for element in record["species"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"no orbit list ({type(error).__name__}: {error}); expected group, species, numIons, sites"
        ) from error
    if list(record.get("numIons", amounts)) != amounts:
        raise DataError(f"numIons {record['numIons']} are not the {amounts} atoms that the sites make")
    return crystal


def read_pyxtal(path: str | Path) -> list[Protostructure]:
    """Protostructures of a JSON file: a list of orbit lists."""
    return [from_pyxtal(record) for record in json.loads(Path(path).read_text())]


def write_pyxtal(path: str | Path, crystals: Iterable[Protostructure]) -> None:
    """A JSON file of orbit lists."""
    write(Path(path), json.dumps([to_pyxtal(c) for c in crystals], indent=1))
