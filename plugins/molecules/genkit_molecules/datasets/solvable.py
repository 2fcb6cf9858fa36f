"""Sequences of laws that are known: a hidden Markov model, chains and rings of spins, a table of a few tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from genkit.errors import UsageError
from genkit.kinds import SIGNED
from genkit_molecules.items import AMINO, UNIREF50, Sequences


@dataclass(frozen=True)
class HiddenMarkov:
    """Sequences of a hidden Markov model, whose likelihood is known: states favour some amino acids of a background.

    The background is the amino acids of UniRef50. With `sharpness` 0 all sites are independent.
    """

    length: int = 32
    """sites"""
    states: int = 4
    """hidden states"""
    stay: float = 0.85
    """probability to stay in a hidden state"""
    sharpness: float = 2.0
    """standard deviation of the log-preference of a state for an amino acid"""
    train: int = 20_000
    """sequences to train on"""
    test: int = 2000
    """sequences for tests"""
    seed: int = 0
    """of the law and of the sequences"""

    def __post_init__(self) -> None:
        """Check the fields."""
        _at_least_one(self, "length", "states", "train", "test")
        if not 0 <= self.stay <= 1:
            raise UsageError(f"hidden_markov: stay={self.stay}; expected a probability")

    def law(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Laws of the first state (H,), of the next one (H, H), of the amino acid (H, 20)."""
        h = self.states
        rng = np.random.default_rng(self.seed)
        move = np.full((h, h), (1 - self.stay) / max(h - 1, 1))
        np.fill_diagonal(move, self.stay if h > 1 else 1.0)
        emit = UNIREF50 * np.exp(self.sharpness * rng.standard_normal((h, len(UNIREF50))))
        return np.full(h, 1 / h), move, emit / emit.sum(1, keepdims=True)

    def load(self) -> Sequences:
        """Draw the sequences."""
        from genkit.testing import hmm_denoiser

        first, move, emit = self.law()
        rng, count = np.random.default_rng([self.seed, 1]), self.train + self.test
        x = np.zeros((count, self.length), np.uint8)
        state = rng.choice(self.states, count, p=first)
        for site in range(self.length):
            x[:, site] = _draw(rng, emit[state])
            state = _draw(rng, move[state])
        return _known(x, self.train, "hidden Markov model", hmm_denoiser(first, move, emit))


@dataclass(frozen=True)
class Potts:
    """A chain or ring of letters: p ~ exp(coupling sum [x_i = x_{i+1}] + sum J[x_i, x_{i+1}] + sum field[x_i]).

    With two letters and no disorder the Ising model of half that coupling. Of all 20 letters the field is the logarithm
    of the frequencies in UniRef50, of fewer it is zero.
    """

    length: int = 32
    """sites"""
    letters: int = 20
    """2 to 20 letters"""
    coupling: Annotated[float, SIGNED] = 0.0
    """for equal neighbours"""
    disorder: float = 1.0
    """standard deviation of the couplings J"""
    ring: bool = False
    """whether the first site follows the last one"""
    train: int = 20_000
    """sequences to train on"""
    test: int = 2000
    """sequences for tests"""
    seed: int = 0
    """of the couplings and of the sequences"""

    def __post_init__(self) -> None:
        """Check the fields."""
        _at_least_one(self, "length", "train", "test")
        if not 2 <= self.letters <= len(AMINO):
            raise UsageError(f"potts: letters={self.letters}; expected 2 to {len(AMINO)}")

    def law(self) -> tuple[np.ndarray, np.ndarray]:
        """What neighbours (K, K) and letters (K,) add to log p, up to its constant."""
        k = self.letters
        pair = self.disorder * np.random.default_rng(self.seed).standard_normal((k, k))
        field = np.log(UNIREF50 / UNIREF50.sum()) if k == len(UNIREF50) else np.zeros(k)
        return pair + self.coupling * np.eye(k), field

    def load(self) -> Sequences:
        """Draw the sequences site by site, from sums over all later ones."""
        from genkit.testing import potts_denoiser

        pair, field = self.law()
        k, d, count = self.letters, self.length, self.train + self.test
        rng = np.random.default_rng([self.seed, 1])
        # later[i][s, f]: sum over the sites after i, which has s, where the first has f
        move = np.exp(pair + field)
        later = [np.exp(pair) if self.ring else np.ones((k, k))]
        log_z = 0.0
        for _ in range(d - 1):
            scale = later[-1].max()
            log_z += np.log(scale)
            later.append(move @ (later[-1] / scale))
        weights = np.exp(field) * np.diag(later[-1])
        x = np.zeros((count, d), np.uint8)
        x[:, 0] = rng.choice(k, count, p=weights / weights.sum())
        for site in range(1, d):
            p = move[x[:, site - 1]] * later[d - 1 - site][:, x[:, 0]].T
            x[:, site] = _draw(rng, p / p.sum(1, keepdims=True))
        log_z += np.log(weights.sum())
        oracle = potts_denoiser(pair, field - log_z / d, self.ring)
        return _known(x, self.train, f"Potts {'ring' if self.ring else 'chain'}", oracle, AMINO[:k])


@dataclass(frozen=True)
class Table:
    """A few tokens of any joint law."""

    table: tuple[float, ...] = (0.5, 0.1, 0.15, 0.25)
    """probabilities of all rows of tokens, the last token fastest"""
    length: int = 2
    """tokens"""
    train: int = 20_000
    """rows to train on"""
    test: int = 2000
    """rows for tests"""
    seed: int = 0
    """of the rows"""

    def __post_init__(self) -> None:
        """Check the fields."""
        _at_least_one(self, "length", "train", "test")
        k = self.classes
        if not 2 <= k <= len(AMINO) or k**self.length != len(self.table):
            raise UsageError(
                f"table: {len(self.table)} probabilities of {self.length} tokens; expected K^{self.length}, K = 2 to 20"
            )
        if min(self.table) < 0 or abs(sum(self.table) - 1) > 1e-6:
            raise UsageError("table: expected probabilities of at least 0 that sum to 1")

    @property
    def classes(self) -> int:
        """K, values of a token."""
        return round(len(self.table) ** (1 / self.length))

    def load(self) -> Sequences:
        """Draw the rows."""
        from genkit.testing import discrete_denoiser

        law = np.reshape(self.table, (self.classes,) * self.length)
        which = np.random.default_rng(self.seed).choice(law.size, self.train + self.test, p=law.ravel() / law.sum())
        x = np.stack(np.unravel_index(which, law.shape), 1).astype(np.uint8)
        return _known(x, self.train, "table of tokens", discrete_denoiser(law), AMINO[: self.classes])


def _at_least_one(data: Any, *names: str) -> None:
    for name in names:
        if getattr(data, name) < 1:
            raise UsageError(f"{type(data).__name__}: {name}={getattr(data, name)}; expected at least 1")


def _draw(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    """One class (M,) of each row of probabilities (M, K)."""
    return (rng.random((len(p), 1)) > p.cumsum(1)[:, :-1]).sum(1)


def _known(x: np.ndarray, train: int, source: str, oracle: Any, alphabet: str = AMINO) -> Sequences:
    lengths = np.full(len(x), x.shape[1])
    return Sequences(alphabet, x[:train], lengths[:train], x[train:], lengths[train:], source, oracle=oracle)
