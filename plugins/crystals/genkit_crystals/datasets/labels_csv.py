"""A table of labels of one's own."""

from dataclasses import dataclass
from pathlib import Path

from genkit.data import own_file
from genkit_crystals.data import Crystals
from genkit_crystals.protostructures import read_labels


@dataclass(frozen=True)
class LabelsCSV:
    """A CSV table with a column protostructure, wyckoff_spglib or wyckoff, and perhaps energies and other numbers."""

    file: Path | None = None
    """The table, .csv or .csv.gz."""
    property: str | None = None
    """Column of numbers that a model shall know, see crystals.property_guidance."""

    def path(self) -> Path:
        """The file."""
        return own_file(self.file, "a .csv table with a column of labels")

    def load(self) -> Crystals:
        """Its distinct crystals; rows that were refused are told with their line."""
        return Crystals.of(*read_labels(self.path())).with_target(self.property)
