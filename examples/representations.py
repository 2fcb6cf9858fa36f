"""How many prototypes of a checkpoint are different, and scores of your features, in ten lines each.

    python examples/representations.py

makes up both files; put yours in their place.
"""

from pathlib import Path

import numpy as np

from genkit_representations import density
from genkit_representations.prototypes import collapse, read_prototypes


def prototypes(file: Path) -> float:
    """M(eps) / K of a checkpoint (.pth, .npy, .npz, .safetensors)."""
    found = collapse(read_prototypes(file), eps=0.025)
    print(f"{found.unique} of {found.prototypes} prototypes are different; groups by their size: {found.redundancy}")
    return found.share


def unknown(file: Path) -> dict[str, density.Detection]:
    """How well four detectors tell ood/a from test, fitted on train and its labels."""
    with np.load(file) as x:
        train, test, labels, ood = x["train"], x["test"], x["labels"], x["ood/a"]
    detectors = {"gaussian": density.Gaussian.fit(train), "mahalanobis": density.Mahalanobis.fit(train, labels),
                 "knn": density.KNN.fit(train, 5), "gmm": density.mixture(train, 4).score_samples}  # fmt: skip
    found = {name: density.detection(score(test), score(ood)) for name, score in detectors.items()}
    for name, scores in found.items():
        print(f"{name:<12} AUROC {scores.auroc:.3f}, FPR95 {scores.fpr95_id:.3f} (known data positive)")
    return found


def main(out: Path = Path()) -> tuple[float, dict[str, density.Detection]]:
    """Make up the files, and look at them."""
    rng = np.random.default_rng(0)
    np.save(out / "prototypes.npy", np.repeat(rng.standard_normal((100, 32)), 4, 0) + 1e-3)
    centres, labels = 3 * rng.standard_normal((4, 8)), np.arange(400) % 4
    known = centres[labels] + rng.standard_normal((2, 400, 8))
    np.savez(out / "features.npz", train=known[0], test=known[1], labels=labels,
             **{"ood/a": 3 * rng.standard_normal((200, 8))})  # fmt: skip
    return prototypes(out / "prototypes.npy"), unknown(out / "features.npz")


if __name__ == "__main__":
    main()
