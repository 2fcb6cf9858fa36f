"""Molecules with what you want: held to a part, chosen and steered by an own reward, which is also learned; and scored.

    python examples/molecules.py

trains a small model of molecules of four heavy atoms, draws molecules that hold a part, and then goes to those that an
own function likes in three ways: candidates of which one is taken, particles that are steered, and rounds of training
on what was taken. The first two stay the model, tilted by the reward; rounds leave the data behind. On the command
line, in the folder of this script:

    genkit run molecules.ardm --data.n 4 --out molecules/model
    genkit sample molecules/model --n 100 --scaffold '*C=O' --valid --out decorated.smi
    genkit sample molecules/model --n 500 --reward molecules:likes --out taken.smi
    genkit sample molecules/model --n 500 --reward molecules:likes --method reward/10 --out steered.smi
    genkit run molecules.ardm --model molecules/model --model.finetune 100 --data smiles --data.file taken.smi \\
        --data.elements C N O F --out molecules/round1
    genkit molecules-score taken.smi

A classifier that has learned the reward is a fourth way:

    genkit run molecules.property_guidance --data.n 4 --reward molecules:likes --out molecules/learned
    genkit sample molecules/learned --n 500 --method classifier/10 --out learned.smi
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

import genkit
from genkit.model import joined
from genkit_molecules.datasets import Lattice, Smiles
from genkit_molecules.evaluation import basic


def likes(smiles: list[str]) -> list[float]:
    """The reward: two for a ring, one for each oxygen."""
    return [2.0 * ("1" in s) + s.count("O") for s in smiles]


def draw(model: Any, n: int, **asked: Any) -> list[str]:
    """SMILES of what `genkit sample` would draw, "" where invalid."""
    return joined(list(model.request(**asked)(model, jax.random.key(0), n)))["text"].tolist()


def scores(smiles: list[str], known: Any) -> dict[str, float]:
    """Shares that are valid in one piece, that are distinct, and the reward of those in one piece, a mean."""
    found = basic([s or None for s in smiles], known)
    whole = [s for s in smiles if s and "." not in s]
    names = {"in one piece": "connected", "distinct": "uniqueness_connected", "new": "novelty_connected"}
    return {name: found[key] for name, key in names.items()} | {
        "reward": float(np.mean(likes(whole))) if whole else float("nan")
    }


def main(
    out: Path = Path("molecules"), preset: str = "default", atoms: int = 4, n: int = 500, rounds: int = 3, **more: Any
) -> dict[str, dict[str, float]]:
    """Train, draw, steer, train on what was taken; returns the scores of each way."""
    data, reward = Lattice(n=atoms), ("molecules:likes",)
    options = {"data": data, "samples": 50, **more}
    model = genkit.run(genkit.config("molecules.ardm", preset, options), out=out / "model").model
    held = draw(model, 20, scaffold="*C=O", valid=True)
    found = {"model": draw(model, n), "candidates": draw(model, n, reward=reward)}
    found["particles"] = draw(model, n, reward=reward, method="reward/10")

    file, last, steps = out / "taken.smi", out / "model", 100 if preset == "default" else 5
    for k in range(1, rounds + 1):
        taken = draw(genkit.load_model(last), 2 * n, reward=reward, valid=True, connected=True)
        file.write_text("\n".join(taken))
        good = Smiles(file=str(file), elements=data.elements, test=0.0)
        asked = {"model": str(last.absolute()), "model.finetune": steps, "data": good, "samples": 50}
        genkit.run(genkit.config("molecules.ardm", preset, asked), out=out / f"round{k}")
        last = out / f"round{k}"
    found["rounds"] = draw(genkit.load_model(last), n)
    known = data.load().texts("train")
    return {name: scores(smiles, known) for name, smiles in {"held to C=O": held, **found}.items()}


if __name__ == "__main__":
    for name, values in main().items():
        print(f"{name:<12}", *(f"{kind} {value:.2f} " for kind, value in values.items()))
