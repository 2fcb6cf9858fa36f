"""log Z of own graphs, and a state-space model seen from all sides, ten lines each.

    python examples/graphical_models.py
    genkit run inverse.pgm --model graphical_models:Frustrated --model.coupling 2

the second in the folder of this script.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel
from genkit.smc import (
    SMC2,
    LatentGaussian,
    NormalChain,
    Resample,
    belief_propagation,
    controlled,
    factor_graph,
    laplace,
    sample_paths,
    smc,
    sqmc,
)
from genkit.tree import register_dataclass

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Frustrated:
    """Three variables in pairs that cannot all agree, and a factor of all three."""

    coupling: float = 1.0

    def load(self):
        """The graph."""
        same, odd = self.coupling * np.eye(2), np.array([[[0.0, 1], [1, 0]], [[1, 0], [0, 1]]])
        return factor_graph((2, 2, 2), [((0, 1), same), ((1, 2), same), ((2, 0), -same), ((0, 1, 2), odd)])


def discrete():
    """log Z by Bethe's approximation, by SMC that looks ahead with its messages, exact."""
    graph = Frustrated().load()
    messages = belief_propagation(graph)
    return messages.log_z, smc(KEY, graph.model(messages), 1000).log_z, graph.exact()


def counts():
    """Counts with a Gaussian log intensity on a line: log of their probability, and the mean of the field."""
    q = np.diag([2.0, 3, 3, 2]) - np.eye(4, k=1) - np.eye(4, k=-1)
    graph = LatentGaussian(q, lambda x, y: y * x - jnp.exp(x) - jax.lax.lgamma(y + 1), np.array([4.0, 2, 0, 1]))
    result = smc(KEY, graph.model(laplace(graph)), 1000)
    return result.log_z, graph.exact(), result.mean()


@register_dataclass
@dataclass(frozen=True)
class Volatility(Kernel):
    """x_t ~ N(.95 x_{t-1}, s^2), y_t ~ N(0, exp(x_t)); a move by its density needs no more than this."""

    s: jax.Array

    def normal(self, p, u):
        """Mean and standard deviation of the move."""
        return 0.95 * p, self.s

    def move(self, keys, p, u):
        """x_t."""
        return 0.95 * p + self.s * jax.vmap(jax.random.normal)(keys)

    def log_prob(self, p, p1, u):
        """Density of the move, for smoothing."""
        return jax.scipy.stats.norm.logpdf(p1, 0.95 * p, self.s)

    def log_g(self, p, p1, u):
        """log p(y_t | x_t)."""
        return jax.scipy.stats.norm.logpdf(u, 0.0, jnp.exp(p1 / 2))


def volatility(y):
    """log p(y) by plain, quasi-random and controlled SMC; smoothed paths; posterior of log s with its evidence."""
    chain = NormalChain(0.0, 1.0, Volatility(jnp.array(0.3)), y)
    psi, _ = controlled(KEY, chain, 500, 3, Resample())
    models = (chain.model(), sqmc(chain, 512, seed=0), chain.model(psi))
    paths, _ = sample_paths(KEY, chain.model(), 500, 100, Resample())

    def of(theta):
        return NormalChain(0.0, 1.0, Volatility(jnp.exp(theta[0])), y).model()

    state, log_z = SMC2(particles=50).run(KEY, 50, lambda k: jax.random.normal(k, (1,)), lambda t: -0.5 * t @ t, of)
    return [smc(KEY, model, 512).log_z for model in models], paths.later[0].mean(0), state, log_z


if __name__ == "__main__":
    print("discrete: Bethe {:.4f}, SMC {:.4f}, exact {:.4f}".format(*discrete()))
    print("counts: SMC {:.4f}, exact {:.4f}, field {}".format(*counts()))
    print("volatility:", volatility(np.random.default_rng(0).normal(size=30) * 0.7)[0])
