"""MNIST, by its 10 000 test images."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genkit.data import fetch, local
from genkit_inverse.images import Images, split

FILE = "images/t10k-images-idx3-ubyte.gz"
SHA256 = "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
URL = "https://github.com/fgnt/mnist/raw/master/t10k-images-idx3-ubyte.gz"


@dataclass(frozen=True)
class MNIST:
    """MNIST (LeCun, Cortes and Burges), 28 x 28 x 1 in [-1, 1]: its 10 000 test images as 9000, 500 and 500.

    The file of 1.6 MB is looked for in GENKIT_DATA, then in the cache, then fetched.
    """

    suggests: ClassVar[dict[str, Any]] = {
        "network.patch": 2,
        "steps": 1000,
        "images": 6,
        "draws": 6,
        "particles": 6,
        "operators.1.factor": 4,
        "operators.2.std": 2.0,
    }

    def path(self) -> Path | None:
        """The file, where it is on this machine."""
        return local(FILE, SHA256)

    def load(self) -> Images:
        """Grey levels 0 to 255 to -1 to 1."""
        with gzip.open(fetch(FILE, SHA256, URL)) as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16)
        return split(pixels.reshape(-1, 28, 28, 1).astype(np.float32) / 127.5 - 1, 500, 500, range=(-1.0, 1.0))
