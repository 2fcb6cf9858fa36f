"""A latent space of own rows: train it, walk between two rows, take the mean of some, draw all of it.

    python examples/own_latents.py

makes up a file; put yours in its place. Labels are not needed.
"""

from pathlib import Path

import numpy as np

import genkit
from genkit_latents.datasets import Rows
from genkit_latents.figures import latent_space


def main(out: Path = Path("own_latents"), preset: str = "default") -> Path:
    """Train on rows.npy, and write latent.png; returns its path."""
    out.mkdir(exist_ok=True)
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 500)
    np.save(out / "rows.npy", np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], 1))

    data = Rows(out / "rows.npy")
    config = genkit.config("latents.explicit_metric", preset, {"models": ("hyperbolic",)}, data=data)
    model = genkit.load_model(genkit.run(config, out=out / "run").folder)  # any time later, without data and study
    codes, _ = model.encode(data.load().test)
    walk = model.geodesics(codes[:1], codes[1:2], points=33)  # curve (1, 33, 2), length, converged
    mean = model.mean(codes[:10])
    print(f"length {walk.length[0]:.3f}; half way: {model.decode(walk.curve[0, 16:17])[0]}; mean {mean}")
    latent_space(model, codes, curves=walk.curve, marks=mean[None]).savefig(out / "latent.png")
    return out / "latent.png"


if __name__ == "__main__":
    main()
