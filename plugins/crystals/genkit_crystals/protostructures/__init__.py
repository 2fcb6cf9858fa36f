"""Protostructures, all of a crystal except its continuous numbers: from structures and files, and back."""

from genkit_crystals.protostructures.elements import numbers, periodic_table, symbols, unwarned
from genkit_crystals.protostructures.files import read_labels, write_pyxtal, write_table
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.realise import Realised, Realiser, calculator, read_cif, realise
from genkit_crystals.protostructures.sources import Entry, Reject, entries, entry_of, numbers_of, records, rows, tabular
from genkit_crystals.protostructures.structures import (
    LIMIT,
    SYMPREC,
    Read,
    crystals_of,
    encode,
    protostructure,
    structures_of,
)
from genkit_crystals.protostructures.symmetry import settled
from genkit_crystals.protostructures.wyckoff import (
    ELEMENTS,
    GROUPS,
    LAST,
    LETTERS,
    pearson,
    symbol,
    tables,
)

__all__ = [
    "ELEMENTS",
    "GROUPS",
    "LAST",
    "LETTERS",
    "LIMIT",
    "SYMPREC",
    "Entry",
    "Protostructure",
    "Read",
    "Realised",
    "Realiser",
    "Reject",
    "calculator",
    "crystals_of",
    "encode",
    "entries",
    "entry_of",
    "numbers",
    "numbers_of",
    "pearson",
    "periodic_table",
    "protostructure",
    "read_cif",
    "read_labels",
    "realise",
    "records",
    "rows",
    "settled",
    "structures_of",
    "symbol",
    "symbols",
    "tables",
    "tabular",
    "unwarned",
    "write_pyxtal",
    "write_table",
]
