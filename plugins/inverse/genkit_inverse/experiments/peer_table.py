"""All posterior samplers side by side."""

from __future__ import annotations

from dataclasses import dataclass

from genkit_inverse.experiments.ddsmc_gmm import DDSMCGMM


@dataclass(frozen=True)
class PeerTable(DDSMCGMM):
    """Compare every posterior sampler for linear measurements on the same mixtures.

    As `inverse.ddsmc_gmm`, with those that do not weigh their particles: DDSMC with a single one, PiGDM
    (Song et al. 2023), DPS (arXiv 2209.14687), DAPS (arXiv 2407.01521) and DDRM (arXiv 2201.11793). All take the same
    few levels, where DPS and DAPS were made for hundreds.
    """

    methods: tuple[str, ...] = ("ddsmc", "mcgdiff", "tds", "single", "pigdm", "dps", "daps", "ddrm")
    """What is compared: of ddsmc, mcgdiff, tds, single, pigdm, dps, daps, ddrm."""
