"""Gaussian patches with a known law: the problem on which a posterior sampler of images can be checked exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from genkit.errors import UsageError
from genkit.kinds import Process
from genkit_inverse.images import Images


@dataclass(frozen=True)
class GaussianPatches:
    """Patches of one channel whose correlation falls as c^(|di| + |dj|) with distance; generated from a seed.

    The prior is exact: nothing is trained, and the exact posterior stands in the table beside the methods.
    """

    suggests: ClassVar[dict[str, Any]] = {"images": 200, "draws": 15, "particles": 32}

    side: int = 8
    """Cells of a side."""
    correlation: float = 0.9
    """Of neighbouring cells."""
    std: float = 0.5
    """Of a cell."""
    seed: int = 0
    """Of the patches."""
    process: Process = field(default_factory=lambda: _edm())
    """The Gaussian path of the exact denoiser."""

    def __post_init__(self) -> None:
        """Check the options."""
        if self.side < 2 or not 0 <= self.correlation < 1 or self.std <= 0:
            raise UsageError(
                f"side={self.side}, correlation={self.correlation}, std={self.std}; expected a side of at least 2, "
                "0 <= correlation < 1 and a positive std"
            )

    def load(self) -> Images:
        """1000 patches in each set."""
        from genkit.steer import check_matrix
        from genkit_inverse.problems import gaussian_images

        check_matrix(self.side**2, self.side**2, f"side={self.side} is too large, a prior in closed form needs it")
        place = np.arange(self.side)
        along = self.correlation ** np.abs(place[:, None] - place)
        process: Any = self.process
        prior = gaussian_images(self.std**2 * np.kron(along, along), (self.side, self.side, 1), process)
        rng = np.random.default_rng(self.seed)
        train, val, test = (prior.sample(rng, 1000) for _ in range(3))
        return Images(train, val, test, prior=prior)


def _edm() -> Any:
    from genkit.diffusion import EDM

    return EDM()
