"""Exact answers to test against: a new sampler, guidance or plugin needs no training to be checked.

    from genkit.diffusion import Heun, sample
    from genkit.testing import gaussian_denoiser

    def test_my_sampler(my_sampler):
        x = sample(jax.random.key(0), my_sampler, gaussian_denoiser(mean=1.0, std=0.5), (10_000, 3))
        assert abs(x.mean() - 1.0) < 0.02 and abs(x.std() - 0.5) < 0.02

Oracles are denoisers like trained ones: pytrees whose leaves are the parameters of the data distribution.
"""

from genkit.testing.discrete import (
    ChainDenoiser,
    TableDenoiser,
    all_states,
    discrete_denoiser,
    exact_law,
    hmm_denoiser,
    ising_denoiser,
)
from genkit.testing.oracles import (
    GaussianDenoiser,
    LinearGaussianDenoiser,
    MixtureDenoiser,
    gaussian_denoiser,
    gmm_denoiser,
    linear_gaussian_denoiser,
)

__all__ = [
    "ChainDenoiser",
    "GaussianDenoiser",
    "LinearGaussianDenoiser",
    "MixtureDenoiser",
    "TableDenoiser",
    "all_states",
    "discrete_denoiser",
    "exact_law",
    "gaussian_denoiser",
    "gmm_denoiser",
    "hmm_denoiser",
    "ising_denoiser",
    "linear_gaussian_denoiser",
]
