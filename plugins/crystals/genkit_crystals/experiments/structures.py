"""What becomes of the samples of a study: structures, their energies above a hull, the candidates of the report."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np

from genkit.experiment import Link, Run
from genkit.kinds import ZERO
from genkit.train import Show
from genkit_crystals.protostructures import Protostructure, Realiser, calculator, read_cif, realise, symbol
from genkit_crystals.stability import (
    Candidate,
    Hull,
    judged,
    known_structures,
    open_hull,
    read_candidates,
    scores,
    write_candidates,
)

SHOWN = 50  # candidates in the report


@dataclass(frozen=True)
class Structures:
    """Base of studies of whose samples some become structures."""

    later = ("realise", "realiser.*", "hull", "hull_source", "known")

    realise: Annotated[int, ZERO] = 200
    """How many samples become structures."""
    realiser: Realiser = field(default_factory=Realiser)
    """How."""
    hull: Path | None = None
    """Competing phases, for energies above the hull and S.U.N.: a CSV or JSON table of formulas and energies, or
    structure files, which the realiser's calculator relaxes."""
    hull_source: str | None = None
    """What computed the energies of the table, where it does not say so: the name of the calculator."""
    known: Path | None = None
    """Known structures, files as of structures_dir, for novelty by StructureMatcher; those of the data if not given."""

    def _realise(self, run: Run, some: list[Protostructure | None]) -> None:
        """Structures of the first samples; those without atoms have their row too."""
        full = [c for c in some if c is not None]
        seeds = [int(s) for s in np.random.SeedSequence(run.seed).generate_state(len(full))]
        with Show("structures", len(full), on=run.progress) as show:
            made = iter(realise(full, self.realiser, seeds, progress=lambda done: show.update(done, None)))
        for old in (run.folder / "cif").glob("*.cif"):
            old.unlink()  # of what was realised otherwise
        found = []
        for place, crystal in enumerate(some):
            one = None if crystal is None else next(made)
            found.append(Candidate.of(place, crystal, one))
            if one is not None and one.structure is not None:
                one.write_cif(run.folder / found[-1].file)
        write_candidates(run.folder / "structures.csv", found)

    def _phases(self, run: Run) -> Hull | None:
        """The hull, read or relaxed once, as the energies of the crystals are to be."""
        if self.realiser.calculator:
            calculator(self.realiser.calculator)
        if self.hull is None:
            return None
        path, realiser = self.hull, self.realiser
        return run.once("hull", lambda: open_hull(path, self.hull_source, realiser, run.folder / "hull.csv", run.say))

    def _realised(self, run: Run) -> dict[str, float | None]:
        """Shares of all that were to become structures, those without atoms among them."""
        found = read_candidates(run.folder / "structures.csv")
        if not found:
            return dict.fromkeys(("realised/made", "realised/label_match", "realised/seconds"))
        results: dict[str, float | None] = {
            "realised/made": float(np.mean([bool(one.file) for one in found])),
            "realised/label_match": float(
                np.mean([bool(one.file) and one.label == one.protostructure for one in found])
            ),
            "realised/seconds": float(np.mean([one.seconds for one in found])),
        }
        if self.realiser.calculator:
            steps = [one.steps for one in found if one.relaxed]
            results["realised/converged"] = len(steps) / len(found)
            results["realised/steps"] = float(np.median(steps)) if steps else None
        return results

    def _stability(self, run: Run, data: Path | None, labels: Collection[str]) -> dict[str, float | None]:
        """Energies above the hull, novelty and uniqueness of the structures, which go to structures.csv too.

        Args:
            run: the run.
            data: known structures of the data, taken where none are given.
            labels: of known crystals.
        """
        hull, path = self._phases(run), self.known
        if hull is None and path is None:
            return {}
        found = read_candidates(run.folder / "structures.csv")
        made = [read_cif(run.folder / one.file) if one.file else None for one in found]
        path = path or data
        known = None
        if path is not None:
            known, refused = known_structures(path, made)
            run.say(f"novelty by StructureMatcher: against {path}" + f", {refused} of it unreadable" * bool(refused))
        else:
            run.say("no known structures: new is what has another label than the data; --known PATH names structures")
        found = judged(found, made, hull, labels, known)
        write_candidates(run.folder / "structures.csv", found)
        left_out = {} if hull is None else {"hull/left_out": float(len(hull.left_out))}
        return scores(found, hull is not None) | left_out

    def _cells(self, run: Run) -> None:
        """The table of candidates, and a picture of the first cells."""
        from genkit_crystals import figures

        some = self._candidates(run)
        if some:
            caption = (
                "Conventional cells of the first candidates of the table; bonds are at most 1.15 times the sum of the "
                "covalent radii, which the legend gives, axes a red, b green, c blue."
            )
            run.figure("cells", figures.cells([run.folder / one.file for one in some[:8]]), caption)

    def _candidates(self, run: Run) -> list[Candidate]:
        """The table of candidates, the most stable first, with their files; returns those that have one."""
        found = read_candidates(run.folder / "structures.csv")
        order = sorted(found, key=lambda one: (one.e_hull != one.e_hull, one.e_hull, not one.file))
        judged = any(one.new_label == one.new_label for one in found)
        rows = []
        for one in order[:SHOWN]:
            name = one.label or one.protostructure
            crystal = Protostructure.from_label(name) if name else None
            formula = crystal.chemical_formula if crystal else "none"
            group = f"{crystal.group} {symbol(crystal.group)}" if crystal else None
            row = [Link(formula, one.file) if one.file else formula, group, _number(one.energy_per_atom)]
            new = {1.0: "yes", 0.0: "no"}
            row += [_number(one.e_hull), new.get(one.new_structure), new.get(one.new_label)] if judged else []
            rows.append([*row, _number(one.nearest), _number(one.steps), one.reason or "made"])
        if rows:
            header = ["crystal", "space group", "energy [eV/atom]"]
            header += ["above hull [eV/atom]", "new structure", "new label"] if judged else []
            caption = (
                f"Candidates, {len(rows)} of {len(found)}; the others stand in structures.csv" * (len(found) > SHOWN)
                or "Candidates"
            )
            run.table("candidates", [*header, "nearest pair [radii]", "relaxation [steps]", "state"], rows, caption)
        return [one for one in order if one.file]


def _number(value: float) -> float | None:
    """None for what is not there."""
    return None if value != value else int(value) if value.is_integer() else value
