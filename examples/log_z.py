"""log Z of an own density, by tempering and by parallel tempering: the banana, whose integral is 2 pi.

    python examples/log_z.py

A density of more options, and a table of estimators: docs/logz.md.
"""

import jax

from genkit.smc import ParallelTempering, Tempering


def banana(x):
    """log density of x (2,), up to a constant."""
    return -0.5 * (x[0] ** 2 + (x[1] - x[0] ** 2) ** 2)


def main(n: int = 4000) -> dict[str, float]:
    """Two estimates."""
    base = (lambda key: 2 * jax.random.normal(key, (2,)), lambda x: jax.scipy.stats.norm.logpdf(x, scale=2.0).sum())
    tempered = Tempering(alpha=0.9).run(jax.random.key(0), n, *base, banana)
    swapped = ParallelTempering(rungs=6).run(jax.random.key(0), n // 100, *base, banana)
    return {"tempering": float(tempered.log_z), "parallel tempering": float(swapped.log_z)}


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:<20} {value:.3f}")
