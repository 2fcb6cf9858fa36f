"""All posterior samplers side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from genkit.kinds import Method
from genkit.steer import DAPS, DCPS, DDRM, DDSMC, DPS, FPS, MMPS, TDS, ESSFlow, MCGDiff, PiGDM, REDDiff
from genkit_inverse.experiments.ddsmc_gmm import DDSMCGMM
from genkit_inverse.methods import Single


def _methods(reddiff: int = 1000) -> tuple[Method, ...]:
    return (DDSMC(), DDSMC(recon="ode"), MCGDiff(), TDS(), FPS(), Single(), MMPS(), PiGDM(), DPS(), DAPS(inner=None),
            DDRM(), DCPS(), REDDiff(steps=reddiff), ESSFlow(moves=20))  # fmt: skip


@dataclass(frozen=True)
class PeerTable(DDSMCGMM):
    """Compare every posterior sampler for linear measurements on the same mixtures.

    As `inverse.ddsmc_gmm`, with FPS (Dou and Song 2024) and with those that do not weigh their particles: DDSMC with a
    single one, MMPS (arXiv 2405.13712), PiGDM (Song et al. 2023), DPS (arXiv 2209.14687), DAPS (arXiv 2407.01521), DDRM
    (arXiv 2201.11793), DCPS (arXiv 2403.11407), RED-diff (arXiv 2305.04391) and ESS-Flow (arXiv 2510.05849). All take
    the same few levels, where DPS, DAPS and FPS were made for hundreds; only RED-diff, which optimises one point, has
    steps of its own.
    """

    methods: tuple[Method, ...] = field(default_factory=_methods)
    """What is compared; see `inverse.ddsmc_gmm`."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of `inverse.ddsmc_gmm`; tiny with 50 steps of RED-diff."""
        base = DDSMCGMM.preset(name)
        methods = _methods(50) if name == "tiny" else _methods()
        return cls(**{k: getattr(base, k) for k in ("instances", "samples", "particles", "steps")}, methods=methods)
