"""Train a small network on a ring of Gaussians and sample it with six samplers.

    python examples/mixture_samplers.py

prints a table and writes mixture_samplers.png. All samplers start from the same noise.
"""

from pathlib import Path

import jax
from matplotlib.figure import Figure

import genkit
from genkit.diffusion import Ancestral, DPMpp2M, DPMpp2S, DPMpp3M, Euler, Heun, sample
from genkit.metrics import energy_distance

SAMPLERS = {
    "euler": Euler(18, 0.002),
    "ancestral": Ancestral(18, 0.002),
    "heun": Heun(9, 0.002),
    "dpmpp_2s": DPMpp2S(9, 0.002),
    "dpmpp_2m": DPMpp2M(18, 0.002),
    "dpmpp_3m": DPMpp3M(18, 0.002),
}  # 17 or 18 network calls each


def main(out: Path = Path("mixture_run"), n: int = 2000, **options: object) -> dict[str, float]:
    """Train, sample, compare; returns the energy distance to the truth of each sampler."""
    run = genkit.run(genkit.config("core.mixture", preset="tiny", options={"steps": 1000, **options}), out=out)
    truth = run.config.ring.sample(jax.random.key(1), n)
    samples = {name: sample(jax.random.key(0), s, run.model.denoiser, (n, 2)) for name, s in SAMPLERS.items()}
    distances = {name: float(energy_distance(x, truth)) for name, x in samples.items()}

    print(f"{'sampler':<10} {'network calls':>13} {'energy distance':>16}")
    for name, distance in distances.items():
        print(f"{name:<10} {SAMPLERS[name].nfe:>13} {distance:>16.5f}")
    figure = Figure(figsize=(9, 6), layout="constrained")
    for axes, (name, x) in zip(figure.subplots(2, 3).flat, samples.items(), strict=True):
        axes.scatter(*x.T, s=2, alpha=0.5, lw=0)
        axes.set(title=f"{name}, {SAMPLERS[name].nfe} calls", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    figure.savefig(out / "mixture_samplers.png", dpi=120)
    return distances


if __name__ == "__main__":
    main()
