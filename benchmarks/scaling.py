"""Whether costs grow linearly: seconds of the processor by the number of members, particles, nodes.

    python -m benchmarks.scaling docs/images/scaling.png --most 1000000

prints a table, with the slope of the last tenfold growth, and draws a figure. Needs the plugin weather.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.chain import run, start
from genkit.diffusion import Heun, sample
from genkit.nn import functional
from genkit.smc import Resample
from genkit.testing import LinearGaussian, gmm_denoiser
from genkit_weather.graphs import Edges, InteractionNet

Y = np.sin(np.arange(1, 21))


def members(n: int) -> Callable[[], Any]:
    """Samples of a mixture of 8 normals in 16 dimensions, 11 calls each."""
    rng = np.random.default_rng(0)
    denoiser = gmm_denoiser(np.full(8, 1 / 8), rng.normal(size=(8, 16)), np.full(8, 0.3))
    return lambda: sample(jax.random.key(0), Heun(6), denoiser, (n, 16))


def particles(n: int) -> Callable[[], Any]:
    """A bootstrap filter over 20 steps that resamples where half of the particles are left."""
    model = LinearGaussian().bootstrap(Y)
    program = jax.jit(lambda key: run(key, start(key, model, n), model.stages, Resample())[0].log_z)
    return lambda: program(jax.random.key(0))


def nodes(n: int, gradient: bool = False) -> Callable[[], Any]:
    """A round of messages of width 16 between n nodes on a grid, four edges to each."""
    side = int(n**0.5)
    i = np.arange(side * side)
    x, y = np.divmod(i, side)
    senders = [((x + a) % side) * side + (y + b) % side for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    edges = Edges.build(np.concatenate(senders), np.tile(i, 4), np.zeros((4 * len(i), 1)), (len(i), len(i)))
    apply, params = functional(InteractionNet(16, rngs=nnx.Rngs(0)))
    h, e = jnp.ones((len(i), 1, 16)), jnp.ones((len(edges), 1, 16))

    def total(params: Any, e: Any, h: Any) -> Any:
        return jnp.square(apply(params, edges, e, h, h)[0]).sum()

    program = jax.jit(jax.grad(total) if gradient else total)
    return lambda: program(params, e, h)


def training(n: int) -> Callable[[], Any]:
    """The gradient of a round of messages between n nodes."""
    return nodes(n, gradient=True)


def seconds(call: Callable[[], Any]) -> float:
    """The least of three, in seconds of the processor, after one that compiles."""
    jax.block_until_ready(call())
    found = []
    for _ in range(3):
        begun = time.process_time()
        jax.block_until_ready(call())
        found.append(time.process_time() - begun)
    return min(found)


def main() -> None:
    """Print a table and draw the figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("file", help="figure to write")
    words.add_argument("--most", type=int, default=1_000_000)
    words = words.parse_args()
    numbers = [10**k for k in range(3, 7) if 10**k <= words.most]
    figure, axes = pyplot.subplots(figsize=(5, 3.6), layout="constrained")
    print("|  | " + " | ".join(f"{n}" for n in numbers) + " | slope |\n" + "| --- " * (len(numbers) + 2) + "|")
    labels = {
        members: "samples",
        particles: "a particle filter",
        nodes: "messages on a graph",
        training: "their gradient",
    }
    for (f, label), marker in zip(labels.items(), "os^v", strict=True):
        took = [seconds(f(n)) for n in numbers]
        slope = np.polyfit(np.log10(numbers[-2:]), np.log10(took[-2:]), 1)[0]
        print(f"| {f.__name__} | " + " | ".join(f"{t:.3g}" for t in took) + f" | {slope:.2f} |", flush=True)
        axes.loglog(numbers, took, marker=marker, label=label)
    axes.loglog(numbers, np.array(numbers) * 1e-6, color="0.7", linestyle="--", label="linear")
    axes.set(xlabel="members, particles, nodes", ylabel="seconds of the processor")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(words.file, dpi=150)


if __name__ == "__main__":
    main()
