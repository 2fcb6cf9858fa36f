"""What the studies of crystals share: data, a model, what is drawn, the scores beside four yardsticks."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, fields, replace
from typing import Any

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Best, Estimate, Experiment, Run
from genkit.files import write_json
from genkit.kinds import Dataset, Model, check_preset
from genkit.train import Show
from genkit.workers import each
from genkit_crystals import baselines, evaluation
from genkit_crystals.chains import Drawn, Frequencies, Objective, RowFrequencies, encode, layout, marginal_loss
from genkit_crystals.data import Crystals, NoCrystals
from genkit_crystals.datasets import WBM, AflowPrototypes
from genkit_crystals.experiments.structures import Structures
from genkit_crystals.models import (
    CHUNK,
    SYSTEMS,
    Conditions,
    CrystalModel,
    Draw,
    Encoder,
    WrenformerEncoder,
    WyckoffDiffusion,
    labels,
    require_group,
    system_of,
)
from genkit_crystals.protostructures import (
    Protostructure,
    Realiser,
    settled,
    write_pyxtal,
    write_table,
)

YARDSTICKS = {
    "table": "table by group, row, element",
    "templates": "real, random elements",
    "marginal": "independent marginals",
    "floor": "real, held out",
}


@dataclass(frozen=True)
class CrystalStudy(Structures, Conditions, Experiment):
    """Crystals drawn by a model in one or several ways, scored beside yardsticks; some become structures."""

    headline = "fwd/model"

    data: Dataset[Crystals] = field(default_factory=AflowPrototypes)
    """The crystals."""
    model: Model[Crystals, CrystalModel] = field(default_factory=WyckoffDiffusion)
    """The diffusion model: trained here, or the folder of what was trained."""
    encoder: Model[Crystals, Encoder] | None = field(default_factory=WrenformerEncoder)
    """What measures fwd by its embedding; none leaves that out."""
    samples: int = 1000
    """Crystals to draw."""
    held: int = 1000
    """Real crystals to hold out, at most half of them."""
    chunk: int = CHUNK
    """Crystals drawn at a time."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        for name, least in {"samples": 2, "held": 2, "chunk": 1, "realise": 0}.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least {least}")

    @property
    def methods(self) -> dict[str, str]:
        """What is drawn by the model: its meaning by the name of results, which is the method but for `model`, alone.

        Label files and structures are of the last one.
        """
        return {"model": "diffusion model"}

    @property
    def sets(self) -> dict[str, str]:
        """All that is scored."""
        return self.methods | YARDSTICKS

    # data

    def crystals(self, run: Run) -> tuple[Crystals, Crystals]:
        """Training crystals and those held out; what the loader refused is told once."""

        def load() -> tuple[Crystals, Crystals]:
            try:
                every = self.data.load()
            except NoCrystals as error:
                self._tell(run, error.data)
                raise
            self._tell(run, every)
            return every.split(self.held)

        return run.once("crystals", load)

    def _tell(self, run: Run, every: Crystals) -> None:
        """Say what was read and what was not, and keep it in the run's folder."""
        for name, said in {"refused": every.rejects, "notes": every.notes}.items():
            for one in said[:5]:
                run.say(f"{name.removesuffix('s')}: {one.place}: {one.reason}")
            if said:
                write_table(run.folder / f"{name}.csv", ("place", name), [(one.place, one.reason) for one in said])
                run.say(f"{len(said)} {name} in {name}.csv; {len(every)} distinct crystals are left")
        for row in every.statistics():
            run.say(
                "{property}: {crystals} of {of} crystals, {least:.4g} to {largest:.4g}, mean {mean:.4g}".format(**row)
            )

    def frequencies(self, run: Run) -> Frequencies:
        """Frequencies of values in the training data."""
        train, slots = self.crystals(run)[0], self.slots(run)
        return run.once("frequencies", lambda: Frequencies.of(encode(train.crystals, slots), slots, train.most + 1))

    def slots(self, run: Run) -> Any:
        """The layout of all training groups."""
        return run.once("slots", lambda: layout(c.group for c in self.crystals(run)[0].crystals))

    def groups(self, run: Run, n: int, seed: int) -> np.ndarray:
        """Space groups of n samples, drawn from the training crystals unless one is given."""
        if self.group is None and self.system is None:
            return self.crystals(run)[0].some_groups(n, seed, run.model.known)
        return self.groups_of(np.asarray(run.model.groups), n, seed)

    def prepare(self, run: Run) -> None:
        """Load the data; what cannot be drawn is refused here, before anything is trained."""
        self._phases(run)
        train = self.crystals(run)[0]
        if self.group is not None:
            require_group(self.group, train.groups)
        if self.system is not None and SYSTEMS.index(self.system) not in system_of(train.groups):
            raise UsageError(f"system={self.system}: no training crystal has it, but `genkit sample RUN` draws it")
        recipe: Any = self.model
        if self.given and hasattr(recipe, "classes"):
            self.given.check(recipe.classes(train) - 1)

    # training and sampling

    def train(self, run: Run) -> None:
        """Train the model and the encoder of the distance, or restore them."""
        train = self.crystals(run)[0]
        model = run.trained("model", lambda: train)
        if (seen := int(np.sum(model.groups))) > len(train):
            run.say(
                f"the model was trained on {seen} crystals, {len(train)} are for training here: held-out ones may be "
                "among them, and ce/relative is then too good"
            )
        for name in self.methods:
            self.request(run, name).asked(model)
        if self.encoder is not None:
            run.trained("encoder", lambda: train)

    def denoiser(self, run: Run) -> Any:
        """The denoiser of the model."""
        return run.model.denoiser

    def draw(self, run: Run, key: Any, n: int) -> np.ndarray:
        """Labels of n crystals, (n,) text; empty for one without atoms."""
        seed = int(jax.random.randint(jax.random.fold_in(key, 0), (), 0, 2**31 - 1))
        groups, one = self.groups(run, n, seed), self.request(run, list(self.methods)[-1])
        return labels(one.drawn(run.model, jax.random.fold_in(key, 1), groups, self.chunk).crystals)

    def request(self, run: Run, name: str) -> Draw:
        """What is asked of the model for a set."""
        shared = {f.name: getattr(self, f.name) for f in fields(Conditions)}
        return Draw(**shared, method="alone" if name == "model" else name)  # type: ignore[arg-type]

    def sample(self, run: Run) -> None:
        """Draw the crystals and the yardsticks, and make structures of some."""
        self._phases(run)
        train, held = self.crystals(run)
        rng = np.random.default_rng((run.seed, 1))
        groups, slots = self.groups(run, self.samples, run.seed), self.slots(run)
        drawn, seconds = {}, {}
        for name in self.methods:
            begun = time.perf_counter()
            drawn[name] = self.request(run, name).drawn(run.model, run.key("sample"), groups, self.chunk)
            seconds[name] = time.perf_counter() - begun
        rows = RowFrequencies.of(train.crystals, slots, train.most + 1)
        drawn |= {
            "table": baselines.tables(rng, groups, slots, rows),
            "templates": baselines.templates(rng, groups, train.crystals),
            "marginal": baselines.marginals(rng, groups, slots, self.frequencies(run)),
            "floor": Drawn([held.crystals[i] for i in rng.permutation(len(held))[: self.samples]]),
        }
        held_by = {name: self._settle(run, drawn, name) for name in (*self.methods, "table", "marginal")}
        named = {name: ["" if c is None else c.label for c in one.crystals] for name, one in drawn.items()}
        write_json(run.folder / "samples.json", {"labels": named, "seconds": seconds, "symmetry": held_by})
        last = drawn[list(self.methods)[-1]]
        self._write(run, last.full, train)
        self._realise(run, last.crystals[: self.realise])

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
        names = ("protostructure", "prototype", "space_group", "formula", "n_atoms", "n_dof", "novel", "unique")
        rows = [
            (c.label, c.prototype, c.group, c.chemical_formula, c.atoms, c.freedom, c.label not in known,
             not (c.label in seen or seen.add(c.label)))
            for c in found
        ]  # fmt: skip
        write_table(run.folder / "labels.csv", names, rows)
        write_pyxtal(run.folder / "orbits.json", found)

    # results

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores of the model's crystals; for distances also of the yardsticks.

        fwd/<set>, fwd_se/<set>, fd/<set>: Frechet distances to the training crystals, in the encoder's embedding and of
        standardised descriptors, with bootstrap standard error; sets are model, table, templates, marginal, floor.
        fwd_ratio/<set>, fd_ratio/<set>: those of the model's sets over the table's, with the ends fwd_ratio_low/<set>,
        fwd_ratio_high/<set> of a 95 % interval of the paired bootstrap, see `evaluation.ratio`.
        validity, uniqueness, novelty/label, novelty/prototype and the rest of `evaluation.scores` are those of the
        model, <score>/<set> those of all. realised/made: share of the samples asked for that became structures,
        realised/label_match: with the label that was drawn; realised/seconds of one; with a calculator
        realised/converged, the share that relaxed to the end, and realised/steps, the median of their steps. With a
        hull or known structures also the scores of `stability.scores`; hull/left_out counts the structures of the hull
        that could not be relaxed, without which energies above it may be too low. symmetry/<set>: share of drawn
        crystals whose sites hold the space group for which they were drawn; all other scores go by the true group.
        crystals_per_second/<set> with compilation.
        ce/relative: cross-entropy of held-out crystals over that of a predictor that knows the frequencies only.
        """
        train, held = self.crystals(run)
        drawn = self.drawn(run)
        results: dict[str, float | None] = {}
        for name, found in drawn.items():
            full = [c for c in found if c is not None]
            own = evaluation.scores(full, len(found), train.crystals, train.crystals)
            results |= {f"{score}/{name}": value for score, value in own.items()}
            if name == "model":
                results |= own
        results |= self._distances(run, drawn)
        labels = {c.label for part in (train, held) for c in part.crystals}
        known = getattr(self.data, "structures", lambda: None)()
        results |= self._realised(run) | self._stability(run, known, labels) | self._drawing(run)
        results["ce/relative"] = self._relative(run)
        return results

    def _drawing(self, run: Run) -> dict[str, float | None]:
        found = json.loads((run.folder / "samples.json").read_text())
        shares = {f"symmetry/{name}": share for name, share in found["symmetry"].items()}
        rates = {f"crystals_per_second/{name}": self.samples / seconds for name, seconds in found["seconds"].items()}
        return rates | shares

    def drawn(self, run: Run) -> dict[str, list[Protostructure | None]]:
        """The crystals of each set, None for an empty one."""
        named = json.loads((run.folder / "samples.json").read_text())["labels"]
        return {k: [Protostructure.from_label(one) if one else None for one in v] for k, v in named.items()}

    def _distances(self, run: Run, drawn: dict[str, list[Protostructure | None]]) -> dict[str, float | None]:
        train, _ = self.crystals(run)
        places = {name: np.array([i for i, c in enumerate(found) if c is not None]) for name, found in drawn.items()}
        sets = {name: [c for c in found if c is not None] for name, found in drawn.items() if len(places[name]) > 1}
        results: dict[str, float | None] = {}
        ways: dict[str, Any] = {"fd": (evaluation.descriptors, evaluation.standardised)}
        if self.encoder is not None:
            encoder = run.trained("encoder")
            run.say(f"fwd: {encoder.name}; {len(train)} training crystals")
            ways["fwd"] = encoder.embed, lambda *every: every
        for way, (describe, scale) in ways.items():
            ends = np.cumsum([len(train), *map(len, sets.values())])[:-1]
            every = describe([*train.crystals, *(c for found in sets.values() for c in found)])
            real, *described = scale(*np.split(every, ends))
            embedded = dict(zip(sets, described, strict=True))
            found = evaluation.frechet(embedded, {name: places[name] for name in sets}, real)
            results |= {f"{way}/{name}": None if name not in found else float(found[name][0]) for name in drawn}
            results |= {f"{way}_se/{name}": None for name in drawn}
            results |= {f"{way}_se/{name}": float(np.nanstd(one[1:], ddof=1)) for name, one in found.items()}
            for name in self.methods:
                if name in found and "table" in found:
                    ends = zip(("", "_low", "_high"), evaluation.ratio(found[name], found["table"]), strict=True)
                    results |= {f"{way}_ratio{end}/{name}": value for end, value in ends}
        return results

    def _relative(self, run: Run) -> float:
        """Cross-entropy of held-out crystals over that of the frequencies."""
        model, (_, held) = run.model, self.crystals(run)
        some = [c for c in held.crystals if model.groups[c.group]][:256]
        fits = [c for c in some if model.holds(c)]
        if not fits:
            return float("nan")
        denoiser, processes = replace(model.denoiser, early=False), model.processes()
        slots = denoiser.slots
        data = encode(fits, slots, model.classes)
        batch = data[np.arange(len(data))]
        loss = jax.jit(lambda key: Objective("ce")(key, denoiser, batch, processes)[0])
        value = float(np.mean([loss(key) for key in jax.random.split(run.key("evaluate"), 4)]))
        return value / marginal_loss(self.frequencies(run), slots.sites(data.group))

    def report(self, run: Run) -> None:
        """The table of all sets; pictures of distances, of the distributions, of elements, and of unit cells."""
        from genkit_crystals import figures

        results, drawn = run.results, self.drawn(run)
        train, held = self.crystals(run)
        counts = f"{self.samples} crystals of each kind, {len(held)} real ones"
        caption = f"{counts}, against {len(train)} training crystals; ± s.e."
        self._table(run, "results", caption, {
            "FWD": "fwd", "FD": "fd", "atoms W1 [atoms]": "atoms_w1", "orbits W1 [orbits]": "orbits_w1",
            "element TV": "element_tv",
        }, dict.fromkeys(("FWD", "FD", "*W1*", "element TV"), "low"))  # fmt: skip
        self._table(run, "shares", "Shares of the crystals", {
            "not empty": "validity", "unique": "uniqueness", "new label": "novelty/label",
            "own group": "symmetry", "new prototype": "novelty/prototype", "2-3 species": "few_species",
            "neutral": "neutral",
        }, {"*": "high"})  # fmt: skip
        self._ratios(run)
        full = {name: [c for c in found if c is not None] for name, found in drawn.items()}
        caption = "Frechet distances to the training crystals; bars are two standard errors, the line is the floor."
        if (distances := figures.distances(results, self.sets)) is not None:
            run.figure("distances", distances, caption)
        run.figure(
            "distributions",
            figures.distributions(full, train.crystals, self.sets),
            "Atoms and orbits in the conventional cell, number of elements, and space groups by crystal system.",
        )
        self._pictures(run, full[list(self.methods)[-1]])

    def _pictures(self, run: Run, found: list[Protostructure]) -> None:
        from genkit_crystals import figures

        caption = "Share of crystals that have the element: of the model, and over that of the training crystals."
        run.figure("elements", figures.elements(found, self.crystals(run)[0].crystals), caption)
        self._cells(run)

    def _table(self, run: Run, name: str, caption: str, scores: dict[str, str], best: Best) -> None:
        """A row each set; models and methods compete, data and baselines are references."""
        found, rows = run.results, []
        for one, meaning in self.sets.items():
            keys = [(f"{key}/{one}", f"{key}_se/{one}") for key in scores.values()]
            rows.append([meaning, *(Estimate(found.get(value), found.get(error)) for value, error in keys)])
        aside = [meaning for one, meaning in self.sets.items() if one not in self.methods]
        run.table(name, ["crystals", *scores], rows, caption, best, aside=aside)

    def _ratios(self, run: Run) -> None:
        """Distances of the model's sets over those of the table."""
        found, rows = run.results, []
        for one, meaning in self.methods.items():
            row: list[Any] = [meaning]
            for way in ("fwd", "fd"):
                value, low, high = (found.get(f"{way}_ratio{end}/{one}") for end in ("", "_low", "_high"))
                row += [value, None if low is None or high is None else f"{low:.3f} to {high:.3f}"]
            rows.append(row)
        caption = "Distances over those of the table by group, row and element, with intervals of the paired bootstrap"
        run.table("ratios", ["crystals", "FWD", "FWD, 95 %", "FD", "FD, 95 %"], rows, caption)

    def plan(self) -> dict[str, str]:
        """Parameters of the networks."""
        return self.model.plan() if hasattr(self.model, "plan") else {}  # type: ignore[attr-defined]


def sizes(name: str) -> dict[str, Any]:
    """What the presets of all studies share."""
    presets: dict[str, dict[str, Any]] = {
        "tiny": {"data": AflowPrototypes.preset("tiny"), "samples": 40, "held": 40, "chunk": 40,
                 "realise": 3, "realiser": Realiser(tries=3, limit=5.0)},
        "default": {},
        "paper": {"data": WBM(), "samples": 10_000, "held": 10_000, "chunk": 750},
    }  # fmt: skip
    check_preset(name, presets)
    return {"encoder": WrenformerEncoder.preset(name), **presets[name]}


def guided_sizes(name: str) -> dict[str, Any]:
    """The same of studies with critics."""
    own = {"tiny": {"particles": 4, "samples": 20}, "default": {"samples": 500}}.get(name, {})
    return sizes(name) | own
