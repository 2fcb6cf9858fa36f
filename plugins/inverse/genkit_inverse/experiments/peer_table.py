"""All posterior samplers side by side."""

from __future__ import annotations

from dataclasses import dataclass

from genkit_inverse.experiments.ddsmc_gmm import DDSMCGMM


@dataclass(frozen=True)
class PeerTable(DDSMCGMM):
    """Compare every posterior sampler for linear measurements on the same mixtures.

    As `inverse.ddsmc_gmm`, with FPS (Dou and Song 2024) and with those that do not weigh their particles: DDSMC with a
    single one, PiGDM (Song et al. 2023), DPS (arXiv 2209.14687), DAPS (arXiv 2407.01521), DDRM (arXiv 2201.11793), DCPS
    (arXiv 2403.11407) and RED-diff (arXiv 2305.04391). All take the same few levels, where DPS, DAPS and FPS were made
    for hundreds; only RED-diff, which optimises one point, has steps of its own.
    """

    methods: tuple[str, ...] = (
        "ddsmc", "mcgdiff", "tds", "fps", "single", "pigdm", "dps", "daps", "ddrm", "dcps", "reddiff",
    )  # fmt: skip
    """What is compared: of ddsmc, mcgdiff, tds, fps, single, pigdm, dps, daps, ddrm, dcps, reddiff."""
