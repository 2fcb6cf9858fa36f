"""WBM, the published training data: element substitutions in structures of the Materials Project."""

from dataclasses import dataclass
from pathlib import Path

from genkit.data import fetch, local
from genkit_crystals.data import Crystals
from genkit_crystals.protostructures import read_labels

FILE = "crystals/2023-12-13-wbm-summary.csv.gz"
FILE_MD5 = "1555268d3aa59d20262cb9d01ce0994b"
URL = "https://figshare.com/files/64706751"


@dataclass(frozen=True)
class WBM:
    """The 257 thousand crystals of WBM (Wang, Botti, Marques 2021, doi 10.1038/s41524-020-00481-6), CC BY 4.0.

    The summary table of Matbench Discovery, downloaded and checked, with its labels and formation energies. The
    published model trained on 236,838 of them.
    """

    def path(self) -> Path | None:
        """The file, where it is here already."""
        return local(FILE, FILE_MD5)

    def load(self) -> Crystals:
        """Its distinct crystals."""
        return Crystals.of(*read_labels(fetch(FILE, FILE_MD5, URL)))
