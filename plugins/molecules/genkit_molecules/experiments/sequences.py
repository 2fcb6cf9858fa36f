"""Files, scores and pictures of sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from genkit.errors import GenkitError
from genkit.experiment import Estimate, Run
from genkit.files import write as write_file
from genkit_molecules.datasets import HiddenMarkov
from genkit_molecules.items import Sequences, encode, fasta, some
from genkit_molecules.models import TESTED
from genkit_molecules.reading import records

TINY = HiddenMarkov(length=8, train=200, test=50)  # data of the presets tiny
SCORED = 1000  # sequences whose similarities are computed


def write(folder: Path, name: str, texts: list[str]) -> None:
    """samples_<name>.fasta."""
    write_file(folder / f"samples_{name.replace('/', '_')}.fasta", fasta(texts))


def read(folder: Path, name: str) -> list[str]:
    """The letters of what a method drew."""
    path = folder / f"samples_{name.replace('/', '_')}.fasta"
    if not path.exists():
        raise GenkitError(f"{path} is missing; run the experiment again without --resume")
    return [one.letters for one in records(path)]


def scores(data: Sequences, samples: dict[str, list[str]], bound: float | None) -> dict[str, float | None]:
    """<score>/<method> of `genkit_molecules.items.sequence_scores`, and for test data <score>/test.

    bound/test: nats a test sequence; perplexity/test: exp of that a site. Of a known law nll/<method> and nll/test,
    its exact mean -log p, and entropy_gap/test, the bound less nll/test, 0 at the best.
    """
    from genkit_molecules.items import scores

    train, test = (some(data.texts(split), SCORED) for split in ("train", "test"))
    results: dict[str, float | None] = {}
    for name, texts in samples.items():
        found = scores(texts[:SCORED], test or train, train)
        results |= {f"{kind}/{name}": value for kind, value in found.items()}
    nll = None if data.oracle is None else jax.jit(lambda x: -data.oracle.log_prob(x).mean())
    if nll:
        for name, texts in samples.items():
            x = encode(texts, data.alphabet, data.length)
            results[f"nll/{name}"] = float(nll(x.astype(np.int32)))
    if bound is not None:
        results |= {f"{name}/test": value for name, value in scores(test, train, train).items()}
        results["bound/test"] = bound
        results["perplexity/test"] = float(np.exp(bound / some(data.test_lengths, TESTED).mean()))
        if nll:
            exactly = float(nll(some(data.test, TESTED).astype(np.int32)))
            results |= {"nll/test": exactly, "entropy_gap/test": bound - exactly}
    return results


def show(run: Run, data: Sequences, samples: dict[str, list[str]]) -> None:
    """A table of the scores, frequencies of amino acids, some samples."""
    from genkit_molecules.figures import letters

    results: Any = run.results
    columns = [*samples, "test"]
    kinds = list(dict.fromkeys(key.partition("/")[0] for key in results if key.partition("/")[2] in columns))
    rows = [
        [k, *(Estimate(results.get(f"{k}/{name}"), results.get(f"{k}_se/{name}")) for name in columns)]
        for k in kinds
        if not k.endswith("_se")
    ]
    caption = f"Sequences of a model of {data.source}; ± is one standard error"
    run.table("results", ["score", *samples, "test data"], rows, caption, aside=("test data",))
    for name, texts in samples.items():
        file = name.replace("/", "_")
        run.table(f"samples_{file}", ["sample"], [[text] for text in texts[:12]], f"Samples of {name}")
        run.figure(f"letters_{file}", letters(data.texts("train"), texts, data.alphabet),
                   f"Frequencies of the letters in data and samples of {name}, all sites together and site by "
                   "site.")  # fmt: skip
