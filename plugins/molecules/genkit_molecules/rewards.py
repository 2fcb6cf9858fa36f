"""Rewards: what is wanted of molecules or sequences, as a number each; own functions, and a few that are known.

A name is ``module:function`` of a list of texts, ``tanimoto=SMILES``, or ``PROPERTY=MEAN:STD``, the logarithm of a
normal density of a property up to its constant; a number and a star before it are its weight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from genkit.errors import UsageError
from genkit.plugin import imported

Reward = Callable[[Sequence[str]], np.ndarray]
REWARD = "reward"  # what is wanted where that is no property


def rewards_named(names: Sequence[str], layout: Any) -> Reward:
    """The sum of the rewards with these names. Raises UsageError."""
    each = [reward_named(name, layout) for name in names]
    return lambda texts: np.sum([reward(texts) for reward in each], axis=0) if len(texts) else np.zeros(0)


def certainty(wanted: str, values: np.ndarray, threshold: float) -> np.ndarray:
    """How surely items are what is wanted, (M,): above a threshold, bool; of a reward exp(reward - threshold), float.

    The threshold of a reward is its largest value in the training set, so that this is a probability: given yes the
    law is p(x) exp(reward(x)) / Z.
    """
    return np.exp(np.minimum(values - threshold, 0.0)) if wanted == REWARD else values > threshold


def reward_named(name: str, layout: Any) -> Reward:
    """The function (M,) of texts, SMILES or letters, with this name. Raises UsageError."""
    if weighed := re.match(r"([^*=:]+)\*", name):
        return partial(_weighed, _weight(name, weighed[1]), reward_named(name[weighed.end() :], layout))
    kind, value, argument = name.partition("=")
    if kind == "tanimoto" and value:
        return _tanimoto(argument)
    if value:
        layout.measure(kind, [])  # it is known
        return partial(near, layout, kind, *_numbers(name, argument))
    if ":" not in name:
        raise UsageError(f"reward {name!r}; expected module:function, tanimoto=SMILES, or PROPERTY=MEAN:STD")
    try:
        found = imported(name, own=True)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"reward {name}: {error}; expected a function as module:function") from None
    if not callable(found):
        raise UsageError(f"reward {name} is a {type(found).__name__}; expected a function of a list of texts")
    return partial(_checked, name, found)


def near(layout: Any, kind: str, mean: float, std: float, texts: Sequence[str]) -> np.ndarray:
    """-(property - mean)^2 / (2 std^2), (M,)."""
    return -(((layout.measure(kind, texts) - mean) / std) ** 2) / 2


def _weighed(weight: float, reward: Reward, texts: Sequence[str]) -> np.ndarray:
    """Of what is impossible, -inf, no weight makes anything else."""
    found = reward(texts)
    return np.where(found == -np.inf, -np.inf, weight * found)


def _weight(name: str, number: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = np.nan
    if not np.isfinite(weight) or weight == 0:
        raise UsageError(f"reward {name!r}; expected a finite weight other than 0 before the star, as 2*logP=2.5:0.5")
    return weight


def _numbers(name: str, argument: str) -> tuple[float, float]:
    try:
        mean, std = map(float, argument.split(":"))
    except ValueError:
        raise UsageError(f"reward {name!r}; expected a mean and a standard deviation, as logP=2.5:0.5") from None
    if not np.isfinite(mean) or not 0 < std < np.inf:
        raise UsageError(f"reward {name!r}: expected a finite mean and a positive standard deviation")
    return mean, std


def _tanimoto(reference: str) -> Reward:
    """Similarity (M,) from 0 to 1 to a molecule, of Morgan fingerprints of radius 2 in 2048 bits."""
    from rdkit import Chem, DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    from genkit_molecules.chemistry import from_smiles

    generator, mol = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048), from_smiles(reference)
    if mol is None or not mol.GetNumAtoms():
        raise UsageError(f"reward tanimoto: {reference!r} is no SMILES")
    own = generator.GetFingerprint(mol)

    def similar(texts: Sequence[str]) -> np.ndarray:
        prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in texts]
        return np.array(DataStructs.BulkTanimotoSimilarity(own, prints), float)

    return similar


def _checked(name: str, function: Any, texts: Sequence[str]) -> np.ndarray:
    """The answer of an own function, a number each and none NaN."""
    try:
        answer = function(list(texts))
    except SystemExit as error:
        raise UsageError(f"reward {name} ends the process (exit {error.code}); let it raise an error") from None
    try:
        found = np.asarray(answer)
        found = found.astype(float, casting="unsafe" if found.dtype == object else "same_kind")  # none complex
    except (TypeError, ValueError):
        raise UsageError(f"reward {name} gives {answer!r:.60}; expected ({len(texts)},) numbers") from None
    if found.shape != (len(texts),) or np.isnan(found).any() or (found == np.inf).any():
        what = "NaN or infinity" if found.shape == (len(texts),) else f"shape {found.shape}"
        raise UsageError(f"reward {name} gives {what}; expected ({len(texts)},) numbers, a list of texts being given")
    return found


def chosen(log_w: np.ndarray, rng: np.random.Generator) -> tuple[int, float, float]:
    """One of some candidates by their weights, log of the mean weight, and the effective sample size.

    The first one where all weights are zero. Of N candidates of law p the one that is taken tends to p w / Z.
    """
    top = log_w.max()
    if top == -np.inf:
        return 0, -np.inf, 0.0
    w = np.exp(log_w - top)
    one = int(np.searchsorted(np.cumsum(w), rng.random() * w.sum(), side="right"))
    return min(one, len(w) - 1), float(top + np.log(w.mean())), float(w.sum() ** 2 / (w**2).sum())
