"""Files, scores and pictures of molecules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genkit.errors import GenkitError
from genkit.experiment import Best, Estimate, Run
from genkit.files import write as write_file
from genkit_molecules.datasets import QM9H, Lattice
from genkit_molecules.items import Molecules, some

TINY = Lattice(n=3)  # data of the presets tiny
WITH_HYDROGEN = QM9H(test=0.25)  # data of Kelvinius and Lindsten 2024 (arXiv 2310.15817)
HIGH: Best = dict.fromkeys(("validity", "uniqueness", "novelty", "valid_unique_novel", "connected", "KL"), "high")
LOW: Best = dict.fromkeys(("FCD", "FRD", "NSPDK_like"), "low")
PAIRED = 500  # molecules whose pairs of neighbourhoods are counted
SCORED = 2000  # molecules whose similarities are computed: a matrix of all pairs
Texts = list[str | None]


def write(folder: Path, name: str, smiles: Texts) -> None:
    """samples_<name>.smi, with an empty line for an invalid one, and .sdf."""
    from genkit_molecules.chemistry import sdf_of

    file = f"samples_{name.replace('/', '_')}"
    write_file(folder / f"{file}.smi", "".join(f"{s or ''}\n" for s in smiles))
    write_file(folder / f"{file}.sdf", sdf_of([s for s in smiles if s]))


def read(folder: Path, name: str) -> Texts:
    """The SMILES of a method; None where invalid."""
    path = folder / f"samples_{name.replace('/', '_')}.smi"
    try:
        return [line or None for line in path.read_text().split("\n")[:-1]]
    except FileNotFoundError:
        raise GenkitError(f"{path} is missing; run the experiment again without --resume") from None


def scores(data: Molecules, samples: dict[str, Texts], bound: float | None) -> dict[str, float | None]:
    """<score>/<method> of `genkit_molecules.evaluation`: shares of the samples.

    Where there is a test set Frag, Scaf, SNN, IntDiv, Filters, distances of properties, the KL score, FRD (of RDKit
    descriptors), NSPDK_like, and with the extra `fcd` FCD to it, of 2000 samples at most, and bound/test, the
    model's bound on the test molecules, nats a molecule.
    """
    from genkit_molecules import evaluation
    from genkit_molecules.nspdk import nspdk_like

    results: dict[str, float | None] = {}
    train = evaluation.Sample.of(data.train_smiles)
    test = some(data.test_smiles, SCORED)  # they are in the order of size
    for name, smiles in samples.items():
        found: dict[str, float] = evaluation.basic(smiles, train)
        if len(test) >= 3 and sum(s is not None for s in smiles[:SCORED]) >= 3:
            found |= evaluation.moses(smiles[:SCORED], test)
            found["KL"] = evaluation.guacamol_kl(smiles[:SCORED], test)["score"]
            found["FRD"] = evaluation.frechet_descriptors(smiles[:SCORED], test)
            valid = [s for s in smiles[:PAIRED] if s]
            found["NSPDK_like"] = nspdk_like(valid, test[:PAIRED]) if valid else float("nan")
        results |= {f"{kind}/{name}": value for kind, value in found.items()}
    return results if bound is None else results | {"bound/test": bound}


def show(run: Run, data: Molecules, samples: dict[str, Texts]) -> None:
    """A table of the scores, pictures of samples and of data."""
    from genkit_molecules.figures import grid

    results: Any = run.results
    kinds = list(dict.fromkeys(key.partition("/")[0] for key in results if key.partition("/")[2] in samples))
    rows = [
        [k, *(Estimate(results.get(f"{k}/{m}"), results.get(f"{k}_se/{m}")) for m in samples)]
        for k in kinds
        if not k.endswith("_se")
    ]
    caption = f"Samples of a model of {data.source}; ± is one standard error, rate in molecules a second, log_z in nats"
    run.table("results", ["score", *samples], rows, caption, {**HIGH, **LOW})
    for name, smiles in samples.items():
        run.figure(f"molecules_{name.replace('/', '_')}", grid(smiles[:24]), f"Samples of {name}.")
    some = np.random.default_rng(0).choice(len(data.train_smiles), 24)
    run.figure("molecules_data", grid([data.train_smiles[k] for k in some]), "Data.")
