"""What a trained model is good for the day after: train, save, load elsewhere, sample, and ask it for a geodesic.

    python examples/use_a_model.py

trains a small autoencoder of points around a hole, copies its model, and uses the copy in another process, which knows
neither the study nor its data. On the command line the same is

    genkit run latents.pullback --preset tiny --out run
    genkit sample run --n 100 --out draws.npz
    genkit sample run --from a.npy --to b.npy --out curves.npz
"""

import subprocess
import sys
from pathlib import Path

import genkit

ELSEWHERE = """
import sys, genkit, jax
from genkit_latents.figures import latent_space
model = genkit.load_model(sys.argv[1])
codes = model.encode(model.sample(jax.random.key(0), 200)["samples"])[0]
latent_space(model, codes, curves=model.geodesics(codes[:1], codes[1:2]).curve).savefig(sys.argv[2])
"""


def main(out: Path = Path("used"), **options: object) -> Path:
    """Train, save, and draw with the copy; returns the picture that the other process made."""
    run = genkit.run(genkit.config("latents.pullback", "tiny", options), out=out / "run")
    run.model.save(out / "model")
    picture = out / "geodesic.png"
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(out / "model"), str(picture)], check=True)
    return picture


if __name__ == "__main__":
    print(main())
