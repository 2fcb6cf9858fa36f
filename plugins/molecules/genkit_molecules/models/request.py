"""What can be asked of models of molecules and of sequences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jax
import numpy as np

from genkit.errors import GenkitError, UsageError
from genkit.kinds import SIGNED
from genkit.model import Piece, Request
from genkit_molecules.items import GAP
from genkit_molecules.models.constraints import Constraint, motif, places
from genkit_molecules.models.draw import AT_ONCE, BY_CRITICS, BY_REWARD, Method, drawn
from genkit_molecules.models.foresight import Wish
from genkit_molecules.rewards import REWARD, chosen, rewards_named

TRIES = 100  # draws for each item that is to pass a filter
LEAST = 64  # items at a time where some may not pass


@dataclass(frozen=True)
class Draw(Request):
    """Base: draw by a method, under constraints, until enough items pass the filters."""

    method: str = ""
    """ardm (the model alone), cfg, ardg, bsdg/N, fadg/N (by the discriminator), discriminator/N, classifier/N (by the
    classifier of a property), both/N, reward/N (by --reward), of N particles a sample; if none the model alone, with
    --property both/10."""
    property: str = ""
    """The property to steer to, the one that the model was trained for; reward, if it was trained for one."""
    strength: Annotated[float, SIGNED] = 1.0
    """Power of what is said of the property, and of exp(reward)."""
    reward: tuple[str, ...] = ()
    """What is wanted, without training; several are added, each with a weight if one is given as in 2*logP=2:1:
    module:function of a list of texts, PROPERTY=MEAN:STD (a normal law), for molecules tanimoto=SMILES. Method reward/N
    steers by what is foreseen; of other methods one of --candidates is taken by exp(strength * reward)."""
    candidates: int = 10
    """Draws of which one is taken by its reward, if the method is not reward/N."""
    look_ahead: bool | None = None
    """Whether discriminator, classifier, both and reward weigh all values of the next site (FADG), one call of what
    steers for each, or what was drawn (BSDG). If none, critics of molecules do."""
    confident: bool = False
    """Reveal the surest site next, in place of a random one (or the surest ones, of a model with few calls): another
    law, where the model contradicts itself."""
    unique: bool = False
    """Take each once."""
    novel: Path | None = None
    """Take none of this file, as it stands there or as training changes it."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.candidates < 1:
            raise UsageError(f"candidates={self.candidates}; expected at least 1")

    ahead: ClassVar[bool] = True
    """whether critics look ahead where that is not said"""

    def constraint(self, model: Any) -> Constraint | None:
        """What is held of all items."""
        raise NotImplementedError

    def known(self, file: Path, layout: Any) -> set[str]:
        """The texts of a file, as a model of this layout learns them."""
        raise NotImplementedError

    def takes(self, text: str) -> bool:
        """Whether an item passes by itself."""
        return True

    def filters(self) -> list[str]:
        """Names of the filters that are asked for."""
        return [name for name in ("valid", "unique", "connected", "novel") if getattr(self, name, None)]

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = AT_ONCE) -> Iterator[Piece]:
        """Pieces of `samples` (n, D), rows of sites, `size`, `text`, "" where invalid, and of particles see `drawn`.

        Where items are filtered also `place`, their numbers among all that were drawn. With a reward `reward` of the
        one that was taken, `log_z`, log of the mean of exp(strength * reward) of the candidates, `ess` and
        `collapsed` of their weights. Raises GenkitError where too few pass.
        """
        method, constraint = self._method(model), self.constraint(model)
        if not self.filters():
            yield from self._drawn(model, key, n, method, chunk, constraint)
            return
        seen, count, tried = self.known(self.novel, model.layout) if self.novel else set(), 0, 0
        for piece in self._drawn(model, key, n * TRIES, method, min(chunk, max(n, LEAST)), constraint):
            kept = []
            for i, text in enumerate(piece["text"].tolist()):
                if count + len(kept) < n and text and self.takes(text) and text not in seen:
                    kept.append(i)
                    if self.unique:
                        seen.add(text)
            if kept:
                yield {name: column[kept] for name, column in piece.items()} | {"place": tried + np.array(kept)}
            count, tried = count + len(kept), tried + len(piece["text"])
            if count == n:
                return
        raise GenkitError(
            f"{count} of {tried} items that were drawn pass --{' --'.join(self.filters())}; lower --n {n}"
        )

    def _method(self, model: Any) -> Method:
        if self.property and self.property != getattr(model, "wanted", ""):
            has = f"steers to {model.wanted}" if getattr(model, "wanted", "") else "steers to no property"
            what = "--reward ..." if self.property == REWARD else f"--wanted {self.property}"
            raise UsageError(f"--property {self.property}: the model {has}; `genkit run "
                             f"{model.layout.trainers['classifier']} {what}` trains one")  # fmt: skip
        method = Method.named(self.method or ("both/10" if self.property else model.generator.discrete.name), model)
        if self.property and method.kind not in ("classifier", "both", "cfg"):
            raise UsageError(
                f"--property {self.property}: {method.kind} does not steer to it; take classifier, both or cfg"
            )
        if method.kind == BY_REWARD and not self.reward:
            raise UsageError(f"method {self.method} needs a --reward, as logP=2:0.5 or module:function")
        if self.look_ahead is not None and method.kind not in (*BY_CRITICS, BY_REWARD):
            raise UsageError(f"--look_ahead: {method.kind} has no choice; {', '.join((*BY_CRITICS, BY_REWARD))} have")
        return method

    def _drawn(
        self, model: Any, key: jax.Array, n: int, method: Method, chunk: int, constraint: Constraint | None
    ) -> Iterator[Piece]:
        """With their texts, and one of the candidates."""
        wish = Wish(model.layout, rewards_named(self.reward, model.layout)) if self.reward else None
        inside = method.kind == BY_REWARD
        many = self.candidates if wish and not inside else 1
        rng = np.random.default_rng(np.asarray(jax.random.key_data(jax.random.fold_in(key, many))).tolist())
        chunk = max(many, chunk - chunk % many)
        ahead = self.look_ahead
        if ahead is None:
            ahead = self.ahead and not inside and model.generator.discrete.ordered
        how = self.strength, ahead, constraint, wish, self.confident
        for piece in drawn(model, key, n * many, method, chunk, *how):
            texts = model.layout.texts(piece["samples"], piece["size"])
            piece = piece | {"text": np.array([text or "" for text in texts])}
            if wish:
                wish.check()
                reward = wish.of(piece["text"].tolist())
                piece = piece | {"reward": reward} if inside else self._taken(piece, reward, rng)
            yield piece

    def _taken(self, piece: Piece, reward: np.ndarray, rng: np.random.Generator) -> Piece:
        """One of each group of candidates; what is not whole has no weight."""
        with np.errstate(invalid="ignore"):
            log_w = np.where(reward == -np.inf, -np.inf, self.strength * reward).reshape(-1, self.candidates)
        found = [chosen(row, rng) for row in log_w]
        at = [k * self.candidates + one for k, (one, _, _) in enumerate(found)]
        log_z, ess = (np.array([row[i] for row in found]) for i in (1, 2))
        taken = {name: column[at] for name, column in piece.items()}
        return taken | {"reward": reward[at], "log_z": log_z, "ess": ess, "collapsed": log_z == -np.inf}


@dataclass(frozen=True)
class Molecules(Draw):
    """Draw molecules."""

    formats: ClassVar[dict[str, str]] = Request.formats | {
        ".smi": "genkit_molecules.models.writers:Smiles",
        ".sdf": "genkit_molecules.models.writers:Structures",
        ".csv": "genkit_molecules.models.writers:MoleculeTable",
    }

    column: str = "smiles"
    """Column of the SMILES in the table of --novel."""
    valid: bool = False
    """Take valid ones; all filters do."""
    connected: bool = False
    """Take those in one piece."""
    scaffold: str = ""
    """SMILES of a part that all have, with the bonds between its atoms. "*" is an atom of any element; where there is
    one, the other atoms have no further bonds: it says where the part goes on."""
    link: tuple[str, str] | None = None
    """SMILES of two parts that all have and that are joined by what is drawn, in one piece; "*" as of --scaffold."""
    composition: str = ""
    """Elements and numbers of all atoms but hydrogen, as C6N1; a charged element in brackets, as [N+]1."""

    def filters(self) -> list[str]:
        """Names of the filters; parts are linked where the molecule is in one piece."""
        return [*dict.fromkeys([*super().filters(), *(["connected"] if self.link else [])])]

    def constraint(self, model: Any) -> Constraint | None:
        """Atoms and bonds."""
        if self.scaffold and self.link:
            raise UsageError("--scaffold and --link: give one of them")
        pieces = self.link or ((self.scaffold,) if self.scaffold else ())
        return motif(model.layout, pieces, self.composition) if pieces or self.composition else None

    def known(self, file: Path, layout: Any) -> set[str]:
        """Canonical SMILES."""
        from genkit_molecules.evaluation import Sample
        from genkit_molecules.reading import known_in

        return set(Sample.of(known_in(file, self.column)).distinct)

    def takes(self, text: str) -> bool:
        """Whether it is in one piece, if that is asked for."""
        return "." not in text or "connected" not in self.filters()


@dataclass(frozen=True)
class Sequences(Draw):
    """Draw sequences."""

    formats: ClassVar[dict[str, str]] = Request.formats | {
        ".fasta": "genkit_molecules.models.writers:Fasta",
        ".csv": "genkit_molecules.models.writers:SequenceTable",
    }

    ahead: ClassVar[bool] = False

    fix: tuple[str, ...] = ()
    """Letters that all have, by place from 1: 3:K, or 3:KLE for three places."""

    def constraint(self, model: Any) -> Constraint | None:
        """Letters."""
        return places(model.layout.alphabet, self.fix) if self.fix else None

    def known(self, file: Path, layout: Any) -> set[str]:
        """The sequences, without gaps where the model has none."""
        from genkit_molecules.datasets import Fasta

        gaps = "class" if GAP in layout.alphabet else "remove"
        every = Fasta(
            file=str(file), gaps=gaps, odd="keep", insist=True, max_length=sys.maxsize, max_gaps=1.0, test=0.0
        )
        return set(every.load().texts("train"))
