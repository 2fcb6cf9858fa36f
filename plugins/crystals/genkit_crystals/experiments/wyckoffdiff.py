"""Generation of crystals by symmetry: training, sampling, evaluation, structure files."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.experiment.folder import write_json
from genkit.kinds import Network
from genkit.train import AdamW
from genkit.train.progress import Show
from genkit.workers import each
from genkit_crystals import baselines, evaluation
from genkit_crystals.data import Crystals
from genkit_crystals.datasets.aflow_prototypes import AflowPrototypes
from genkit_crystals.diffusion import (
    Drawn,
    Objective,
    marginal_loss,
)
from genkit_crystals.encoder import Encoder, targets
from genkit_crystals.experiments.crystal_model import CrystalModel
from genkit_crystals.files import write_pyxtal, write_table
from genkit_crystals.layout import encode
from genkit_crystals.networks.wrenformer import Wrenformer
from genkit_crystals.networks.wyckoff_gnn import WyckoffGNN
from genkit_crystals.protostructure import Protostructure
from genkit_crystals.realise import Realiser, realise, write_cif
from genkit_crystals.symmetry import settled

YARDSTICKS = {
    "table": "table by group, row, element",
    "templates": "real, random elements",
    "marginal": "independent marginals",
    "floor": "real, held out",
}


@dataclass(frozen=True)
class WyckoffDiff(CrystalModel):
    """Generate crystals by symmetry with WyckoffDiff and score them beside four yardsticks.

    Discrete diffusion over what sits on the Wyckoff positions of a space group (arXiv 2502.06485). The samples are
    compared with training crystals by the Frechet distance of embeddings (fwd) and of plain descriptors (fd), by
    novelty, uniqueness, charge neutrality; some become structures in CIF files. Beside them stand crystals drawn
    from independent tables, training crystals with other elements, and real crystals that were held out (the floor).
    """

    encoder: Network = field(default_factory=Wrenformer)
    """The network whose embedding measures fwd."""
    encoder_steps: int = 600
    """Its training steps."""
    realise: int = 200
    """How many samples become structures."""
    realiser: Realiser = field(default_factory=Realiser)
    """How."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (the published sizes, WBM)."""
        if name == "default":
            return cls()
        if name == "tiny":
            return cls(
                data=AflowPrototypes.preset("tiny"), network=WyckoffGNN.preset("tiny"), length=8, steps=20, batch=32,
                samples=40, chunk=40, widths=(), encoder=Wrenformer.preset("tiny"), encoder_steps=10, realise=3,
                realiser=Realiser(tries=3, limit=5.0),
            )  # fmt: skip
        if name == "paper":
            from genkit_crystals.datasets.wbm import WBM

            return cls(
                data=WBM(), network=WyckoffGNN.preset("paper"), noise="uniform", length=1000, likelihood=False,
                correlations=False, counts=54, objective=Objective("ce"),
                optimizer=AdamW(lr=2e-4, warmup=0, schedule="constant"), steps=925_000, batch=256, ema=None,
                samples=10_000, chunk=750, encoder=Wrenformer.preset("paper"), encoder_steps=20_000,
            )  # fmt: skip
        raise UsageError(f"crystals.wyckoffdiff has no preset {name!r}; it has tiny, default and paper")

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.encoder_steps < 1 or self.realise < 0:
            raise UsageError(f"encoder_steps={self.encoder_steps}, realise={self.realise}; expected at least 1 and 0")

    @property
    def sets(self) -> dict[str, str]:
        """All that is scored."""
        return self.models | YARDSTICKS

    def train(self, run: Run) -> None:
        """Train the denoiser, and the encoder of the distance."""
        super().train(run)
        self.encoded(run)

    def encoded(self, run: Run) -> Any:
        """Parameters of the trained encoder."""
        return run.once("encoder", lambda: run.fit(self._encoder().phase(self.crystals(run)[0]))).averaged

    def _encoder(self) -> Encoder:
        return Encoder(self.encoder, self.encoder_steps)

    def sample(self, run: Run) -> None:
        """Draw the crystals and the yardsticks, and make structures of some."""
        train, held = self.crystals(run)
        rng = np.random.default_rng((run.seed, 1))
        groups, slots = self.groups(run, self.samples, run.seed), self.slots(run)
        drawn, seconds = {}, {}
        for name in self.models:
            begun = time.perf_counter()
            drawn[name] = self._draw(run, run.key("sample"), groups, name)
            seconds[name] = time.perf_counter() - begun
        drawn |= {
            "table": baselines.tables(rng, groups, slots, self.rows(run)),
            "templates": baselines.templates(rng, groups, train.crystals),
            "marginal": baselines.marginals(rng, groups, slots, self.frequencies(run)),
            "floor": Drawn(list(held.crystals)),
        }
        held_by = {name: self._settle(run, drawn, name) for name in (*self.models, "table", "marginal")}
        labels = {name: ["" if c is None else c.label for c in one.crystals] for name, one in drawn.items()}
        write_json(run.folder / "samples.json", {"labels": labels, "seconds": seconds, "symmetry": held_by})
        found = drawn[list(self.models)[-1]].full
        self._write(run, found, train)
        self._realise(run, found)

    def _settle(self, run: Run, drawn: dict[str, Drawn], name: str) -> float:
        """Call what was drawn by its true space group; the share whose sites hold the group for which it was drawn."""
        full = drawn[name].full
        with Show(f"symmetry of {self.sets[name]}", len(full), on=run.progress) as show:
            true = each(settled, full, share=100, progress=lambda done: show.update(done, None))
        follow = iter(true)
        drawn[name] = Drawn([None if c is None else next(follow) for c in drawn[name].crystals])
        return sum(a.group == b.group for a, b in zip(full, true, strict=True)) / max(len(full), 1)

    def _write(self, run: Run, found: list[Protostructure], train: Crystals) -> None:
        known, seen = {c.label for c in train.crystals}, set()
        unique = [not (c.label in seen or seen.add(c.label)) for c in found]
        write_table(
            run.folder / "labels.csv",
            {
                "protostructure": [c.label for c in found],
                "prototype": [c.prototype for c in found],
                "space_group": [c.group for c in found],
                "formula": [c.chemical_formula for c in found],
                "n_atoms": [c.atoms for c in found],
                "n_dof": [c.freedom for c in found],
                "novel": [c.label not in known for c in found],
                "unique": unique,
            },
        )
        write_pyxtal(run.folder / "orbits.json", found)

    def _realise(self, run: Run, found: list[Protostructure]) -> None:
        some = found[: self.realise]
        with Show("structures", len(some), on=run.progress) as show:
            made = realise(some, self.realiser, run.seed, progress=lambda done: show.update(done, None))
        rows = []
        for i, one in enumerate(made):
            if one.structure is not None:
                write_cif(one.structure, run.folder / "cif" / f"{i:04d}_{one.crystal.chemical_formula}.cif")
            rows.append([one.crystal.label, one.reason, one.tries, one.seconds, one.nearest, one.energy])
        names = ("protostructure", "refused", "tries", "seconds", "nearest", "energy_per_atom")
        columns = zip(*rows, strict=True) if rows else ((),) * len(names)
        write_table(run.folder / "structures.csv", dict(zip(names, columns, strict=True)))

    # results

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores of the model's crystals; for distances also of the yardsticks.

        fwd/<set>, fwd_se/<set>, fd/<set>: Frechet distances to the training crystals, in the encoder's embedding and of
        standardised descriptors, with bootstrap standard error; sets are model, table, templates, marginal, floor.
        validity, uniqueness, novelty/label, novelty/prototype and the rest of `evaluation.scores` are those of the
        model, <score>/<set> those of all. realised/label_match: share of protostructures that became structures with
        their own label; realised/seconds of one. symmetry/<set>: share of drawn crystals whose sites hold the space
        group for which they were drawn; all other scores go by the true group. crystals_per_second/<set> with
        compilation.
        ce/relative: cross-entropy of held-out crystals over that of a predictor that knows the frequencies only.
        """
        train, _ = self.crystals(run)
        drawn = self.drawn(run)
        results: dict[str, float | None] = {}
        for name, found in drawn.items():
            full = [c for c in found if c is not None]
            scores = evaluation.scores(full, len(found), train.crystals, train.crystals)
            results |= {f"{score}/{name}": value for score, value in scores.items()}
            if name == "model":
                results |= scores
        results |= self._distances(run, {k: [c for c in v if c is not None] for k, v in drawn.items()})
        results |= self._realised(run) | self._drawing(run)
        results["ce/relative"] = self._relative(run)
        return results

    def _drawing(self, run: Run) -> dict[str, float | None]:
        found = json.loads((run.folder / "samples.json").read_text())
        shares = {f"symmetry/{name}": share for name, share in found["symmetry"].items()}
        rates = {f"crystals_per_second/{name}": self.samples / seconds for name, seconds in found["seconds"].items()}
        return rates | shares

    def drawn(self, run: Run) -> dict[str, list[Protostructure | None]]:
        """The crystals of each set, None for an empty one."""
        labels = json.loads((run.folder / "samples.json").read_text())["labels"]
        return {k: [Protostructure.from_label(one) if one else None for one in v] for k, v in labels.items()}

    def _distances(self, run: Run, sets: dict[str, list[Protostructure]]) -> dict[str, float | None]:
        train, _ = self.crystals(run)
        encoder = self._encoder()
        outputs = targets(train).shape[1]
        run.say(f"fwd: {encoder.name(train)}; {len(train)} training crystals")
        results: dict[str, float | None] = {}
        embed = partial(encoder.embed, self.encoded(run), outputs)
        ways = {"fwd": (embed, lambda real, x: (real, x)), "fd": (evaluation.descriptors, evaluation.standardised)}
        for way, (describe, scale) in ways.items():
            real = describe(train.crystals)
            for name, found in sets.items():
                if len(found) < 2:
                    results |= {f"{way}/{name}": None, f"{way}_se/{name}": None}
                    continue
                reference, x = scale(real, describe(found))
                results[f"{way}/{name}"], results[f"{way}_se/{name}"] = evaluation.frechet(x, reference)
        return results

    def _realised(self, run: Run) -> dict[str, float | None]:
        import csv

        with (run.folder / "structures.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows:
            return {"realised/label_match": None, "realised/seconds": None}
        return {
            "realised/label_match": float(np.mean([not r["refused"] for r in rows])),
            "realised/seconds": float(np.mean([float(r["seconds"]) for r in rows])),
        }

    def _relative(self, run: Run) -> float:
        """Cross-entropy of held-out crystals over that of the frequencies."""
        _, held = self.crystals(run)
        known = set(self.matrices(run).group.tolist())
        some = [c for c in held.crystals if c.group in known][:256]
        slots, classes = self.slots(run), len(self.frequencies(run).x1)
        fits = [c for c in some if all(n < classes for _, _, n in c.orbits)]
        if not fits:
            return float("nan")
        data = encode(fits, slots, classes)
        batch = data[np.arange(len(data))]
        denoiser = replace(run.denoiser, early=False)
        loss = jax.jit(lambda key: Objective("ce")(key, denoiser, batch, self.processes(run))[0])
        value = float(np.mean([loss(key) for key in jax.random.split(run.key("evaluate"), 4)]))
        return value / marginal_loss(self.frequencies(run), slots.sites(data.group))

    def report(self, run: Run) -> None:
        """The table of all sets; pictures of distances, of the distributions, of elements, and of unit cells."""
        from genkit_crystals import figures

        results, drawn = run.results, self.drawn(run)
        caption = f"{self.samples} crystals of each kind against {len(self.crystals(run)[0])} training crystals"
        self._table(run, "results", caption, {
            "FWD": "fwd", "s.e.": "fwd_se", "FD": "fd", "atoms W1": "atoms_w1", "orbits W1": "orbits_w1",
            "element TV": "element_tv",
        })  # fmt: skip
        self._table(run, "shares", "Shares of the crystals", {
            "not empty": "validity", "unique": "uniqueness", "new label": "novelty/label",
            "own group": "symmetry", "new prototype": "novelty/prototype", "2-3 species": "few_species",
            "neutral": "neutral",
        })  # fmt: skip
        full = {name: [c for c in found if c is not None] for name, found in drawn.items()}
        train = self.crystals(run)[0].crystals
        caption = "Frechet distances to the training crystals; bars are two standard errors, the line is the floor."
        run.figure("distances", figures.distances(results, self.sets), caption)
        run.figure(
            "distributions",
            figures.distributions(full, train, self.sets),
            "Atoms and orbits in the conventional cell, number of elements, and space groups by crystal system.",
        )
        self._pictures(run, full[list(self.models)[-1]])

    def _pictures(self, run: Run, found: list[Protostructure]) -> None:
        from genkit_crystals import figures

        caption = "Share of crystals that have the element: of the model, and over that of the training crystals."
        run.figure("elements", figures.elements(found, self.crystals(run)[0].crystals), caption)
        cifs = sorted((run.folder / "cif").glob("*.cif"))[:8]
        if cifs:
            caption = "Unit cells of generated crystals with random free parameters, before any relaxation."
            run.figure("cells", figures.cells(cifs), caption)

    def _table(self, run: Run, name: str, caption: str, scores: dict[str, str]) -> None:
        rows = [
            [meaning, *(run.results.get(f"{key}/{one}") for key in scores.values())]
            for one, meaning in self.sets.items()
        ]
        run.table(name, ["crystals", *scores], rows, caption)
