"""The ancestral sampler: exact posterior of the process, the denoiser in place of x_0."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genkit.discrete.factorised import Factorised, Posterior, Setting
from genkit.discrete.process import Process


@dataclass(frozen=True)
class Ancestral(Factorised):
    """Draws x_s from p(x_s | x_t) = sum_i p(x_0 = i | x_t) q(x_s | x_t, x_0 = i), site by site.

    The sampler of D3PM (arXiv 2107.03006, eq. 4), with strides as far as `steps` asks; for masks that of MDLM (arXiv
    2406.07524: a site shows with probability (alpha_s - alpha_t) / (1 - alpha_t)), for uniform noise that of UDLM
    (arXiv 2412.10193), and for both the analytic sampler of the chain in continuous time. With exact logits its one
    error is that the sites of a step are independent: none for one site, 1/steps for masks.

    The last step draws x_0 from p(x_0 | x_t), so that no noise is left in the samples; where a published sampler
    stops before that, its schedule is one whose `alphas[0]` is below 1.
    """

    def kernel(self, setting: Setting) -> Posterior:
        """The posterior."""
        return Posterior(setting)

    def over(self, process: Process, times: np.ndarray, between: Any) -> Any:
        """Level of the matrix from the earlier to the later time."""
        return between
