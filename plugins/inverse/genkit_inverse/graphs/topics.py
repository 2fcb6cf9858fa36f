"""A document under the topics of latent Dirichlet allocation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genkit.errors import DataError, UsageError
from genkit.smc import PolyaUrn
from genkit_inverse.graphs.files import array, integers


@dataclass(frozen=True)
class LDA:
    """log p(words) of a document under fixed topics, its mixture of topics integrated out (Blei, Ng, Jordan 2003).

    What has no file is drawn from the model.
    """

    topics: Path | None = None
    """File of the probabilities of words in each topic, a row a topic."""
    document: Path | None = None
    """File of the document, the numbers of its words in the vocabulary, from 0."""
    prior: Path | None = None
    """File of the parameters of the Dirichlet prior, one a topic; .5 each if there is none."""
    states: int = 4
    """Topics, where they are drawn."""
    vocabulary: int = 50
    """Words of drawn topics, each a draw from a Dirichlet with parameters .5."""
    words: int = 50
    """Words of a drawn document."""
    seed: int = 0
    """Of what is drawn."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.states < 2 or self.vocabulary < 1 or self.words < 1:
            raise UsageError(
                f"states={self.states}, vocabulary={self.vocabulary}, words={self.words}; expected at least 2, 1 and 1"
            )

    def load(self) -> PolyaUrn:
        """The urn of the topics of the words."""
        rng = np.random.default_rng(self.seed)
        if self.topics is None:
            phi = rng.dirichlet(np.full(self.vocabulary, 0.5), self.states)
        else:
            phi = np.atleast_2d(array(self.topics)).astype(np.float64)
            if (phi < 0).any() or not np.allclose(phi.sum(1), 1, atol=1e-3):
                raise DataError(f"{self.topics}: expected a row of probabilities for each topic, which sum to 1")
        prior = np.full(len(phi), 0.5) if self.prior is None else array(self.prior).ravel().astype(np.float64)
        if len(prior) != len(phi):
            raise DataError(f"{self.prior}: has {len(prior)} numbers, expected {len(phi)}, one a topic")
        if self.document is None:
            z = rng.choice(len(phi), p=rng.dirichlet(prior), size=self.words)
            words = np.array([rng.choice(phi.shape[1], p=phi[k] / phi[k].sum()) for k in z])
        else:
            words = integers(self.document).ravel()
            if words.max(initial=0) >= phi.shape[1]:
                raise DataError(f"{self.document}: word {words.max()}; the vocabulary has 0..{phi.shape[1] - 1}")
        with np.errstate(divide="ignore"):
            log_lik = np.log(phi[:, words].T)
        if len(never := words[(log_lik == -np.inf).all(1)]):
            raise DataError(
                f"{self.document}: word {never[0]} has probability 0 in every topic, so the likelihood is 0"
            )
        return PolyaUrn(prior, log_lik)
