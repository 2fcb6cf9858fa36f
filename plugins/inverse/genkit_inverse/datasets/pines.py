"""Places of trees in a forest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genkit.data.files import fetch, local

FILE = "smc/pines.csv"
SHA256 = "c57af2e9f2a38ed99a3884fbf81ad1b0c607adcf7749bad53a6df66ef313c89a"
URL = "https://github.com/DenisBless/variational_sampling_methods/raw/main/targets/data/pines.csv"


@dataclass(frozen=True)
class Pines:
    """126 Finnish pines in the unit square (Moller, Syversveen, Waagepetersen 1998)."""

    def path(self) -> Path | None:
        """The file, where it is on this machine."""
        return local(FILE, SHA256)

    def load(self) -> np.ndarray:
        """(126, 2) in [0, 1]."""
        return np.genfromtxt(fetch(FILE, SHA256, URL), delimiter=",", skip_header=1)[:, 1:3]
