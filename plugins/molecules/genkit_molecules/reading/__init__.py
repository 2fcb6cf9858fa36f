"""Files of molecules and sequences: what each entry says, what of it is used, what was dropped or changed and why."""

from genkit_molecules.reading.molecules import Rules, known_in, read, smiles_in, table_of_qm9
from genkit_molecules.reading.sequences import Record, inserting, records
from genkit_molecules.reading.text import column

__all__ = [
    "Record",
    "Rules",
    "column",
    "inserting",
    "known_in",
    "read",
    "records",
    "smiles_in",
    "table_of_qm9",
]
