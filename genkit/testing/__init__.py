"""Exact answers to test against, and checks to run on own code: nothing needs training.

    from genkit.testing import check_plugin, check_sampler

    def test_my_plugin():
        check_plugin("acme")
        check_sampler(MySampler(steps=20))

A check raises AssertionError with one line. `check_sampler`, `check_denoiser` and `check_kernel` hold the mathematics
and what the engine relies on, `check_network` the arithmetic of a network; `check_config` and `check_plugin` what the
command line and the registry do; `check_experiment` and `check_lowers` that programs would run on a GPU or a TPU.

Oracles are denoisers like trained ones: pytrees whose leaves are the parameters of the data distribution.
"""

from genkit.testing.denoiser import check_denoiser
from genkit.testing.discrete import (
    ChainDenoiser,
    TableDenoiser,
    all_states,
    discrete_denoiser,
    exact_law,
    hmm_denoiser,
    ising_denoiser,
    potts_denoiser,
)
from genkit.testing.ising import ising_log_z, ising_torus
from genkit.testing.kalman import LinearGaussian
from genkit.testing.kernel import check_kernel
from genkit.testing.moments import gaussian_moments
from genkit.testing.network import check_network
from genkit.testing.oracles import (
    GaussianDenoiser,
    LinearGaussianDenoiser,
    MixtureDenoiser,
    gaussian_denoiser,
    gmm_denoiser,
    linear_gaussian_denoiser,
)
from genkit.testing.plugins import check_config, check_experiment, check_plugin
from genkit.testing.programs import check_lowers, check_programs
from genkit.testing.sampler import check_sampler

__all__ = [
    "ChainDenoiser",
    "GaussianDenoiser",
    "LinearGaussian",
    "LinearGaussianDenoiser",
    "MixtureDenoiser",
    "TableDenoiser",
    "all_states",
    "check_config",
    "check_denoiser",
    "check_experiment",
    "check_kernel",
    "check_lowers",
    "check_network",
    "check_plugin",
    "check_programs",
    "check_sampler",
    "discrete_denoiser",
    "exact_law",
    "gaussian_denoiser",
    "gaussian_moments",
    "gmm_denoiser",
    "hmm_denoiser",
    "ising_denoiser",
    "ising_log_z",
    "ising_torus",
    "linear_gaussian_denoiser",
    "potts_denoiser",
]
