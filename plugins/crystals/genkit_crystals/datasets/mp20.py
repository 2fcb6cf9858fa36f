"""Real crystals of the Materials Project: binaries and ternaries of MP-20's validation split."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from genkit.data import fetch, local
from genkit_crystals.data import Crystals
from genkit_crystals.datasets.structures_dir import from_structures
from genkit_crystals.protostructures import read_labels

LABELS = "crystals/mp20_biternary_val_labels.csv"
LABELS_SHA256 = "c4cc8aa6fb0d87b6ec2d67f0d778ef88a1a01583f9ea8b2a3dd8c8f108abc2e0"
STRUCTURES = "crystals/mp_20_biternary_val.csv.gz"
STRUCTURES_SHA256 = "f0a1743241ade50592ce24dd3efc8b5e4d4d84c6a72e827c16699e83ce254f07"
URL = "https://github.com/SymmetryAdvantage/WyckoffTransformer/raw/main/data/mp_20_biternary/val.csv.gz"


@dataclass(frozen=True)
class MP20:
    """7,140 real structures with formation energies, 7,106 distinct protostructures of 1,705 prototypes.

    Materials Project (Jain et al. 2013), CC BY 4.0; the selection MP-20 is that of CDVAE (Xie et al. 2022), its
    binaries and ternaries that of WyFormer. The tables of other splits and of the whole MP-20 are read by
    structures_dir.
    """

    @classmethod
    def preset(cls, name: str) -> Self:
        """The same data in every preset."""
        return cls()

    def path(self) -> Path | None:
        """The file, where it is here already."""
        return local(LABELS, LABELS_SHA256) or local(STRUCTURES, STRUCTURES_SHA256)

    def structures(self) -> Path | None:
        """The structures, where they are here already."""
        return local(STRUCTURES, STRUCTURES_SHA256)

    def load(self) -> Crystals:
        """The crystals, from the table of labels if there is one, else from the structures, which takes minutes."""
        labels = local(LABELS, LABELS_SHA256)
        if labels is not None:
            return Crystals.of(*read_labels(labels))
        return from_structures(fetch(STRUCTURES, STRUCTURES_SHA256, URL))
