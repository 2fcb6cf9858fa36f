"""`genkit molecules-score`: all scores of a file of molecules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro


@dataclass(frozen=True)
class Score:
    """Score a file of molecules by the protocols of MOSES and GuacaMol.

    All of it counts, but in KL and FCD_score 10 000 distinct molecules of each set at most, as GuacaMol has it.
    An empty line of a list and what RDKit cannot read count as invalid. FCD needs the extra `fcd`.
    """

    file: Annotated[Path, tyro.conf.Positional]
    """SMILES (.smi, .csv, .tsv) or structures (.sdf), packed with gzip or not."""
    reference: Path | None = None
    """Molecules of the test set, to which distances are told."""
    scaffolds: Path | None = None
    """A second test set, of other scaffolds, as of MOSES: scores end in /TestSF."""
    train: Path | None = None
    """Molecules of the training set, for novelty; their largest fragments and these neutralised are not new either."""
    column: str = "smiles"
    """Column of the SMILES in tables."""
    out: Path | None = None
    """File of the scores (.json); a figure of properties is put beside it."""

    def run(self) -> None:
        """Read, score, write."""
        import math

        from genkit.errors import DataError, UsageError
        from genkit.files import check_place, write_json
        from genkit_molecules.evaluation import Sample, no_fcd, protocol
        from genkit_molecules.reading import known_in, smiles_in

        if self.out is not None:
            if self.out.suffix != ".json":
                raise UsageError(f"--out {self.out}: expected a file that ends in .json")
            check_place(self.out)
        files = {"sample": self.file, "reference": self.reference, "scaffolds": self.scaffolds}
        sets = {name: Sample.of(smiles_in(path, self.column)) for name, path in files.items() if path is not None}
        if self.train is not None:
            files["train"], sets["train"] = self.train, Sample.of(known_in(self.train, self.column))
        for name, one in sets.items():
            if not one.smiles or not (one.valid or name == "sample"):
                raise DataError(f"{files[name]} holds no {'valid ' * bool(one.smiles)}molecule; expected at least one")
        found = protocol(**sets)
        for name, value in found.items():
            print(f"{name:24} {'–' if math.isnan(value) else format(value, '.6g')}")
        if (count := len(sets["sample"].valid)) < 10_000:
            print(f"{count} valid molecules: unique@k of more is that of these")
        if self.reference is not None and (why := no_fcd()):
            print(f"left out: {why}")
        if self.out is not None:
            write_json(self.out, {name: value if math.isfinite(value) else None for name, value in found.items()})
            if count:
                self._draw({name: sets[name] for name in ("sample", "reference") if name in sets})
            print(f"wrote {self.out}" + f" and {self.out.with_suffix('.png')}" * bool(count))

    def _draw(self, sets: Any) -> None:
        """The distributions of the properties of sets."""
        import io

        from genkit.files import write
        from genkit_molecules.figures import properties

        assert self.out is not None
        picture = io.BytesIO()
        properties({name: one.properties for name, one in sets.items()}).savefig(picture, format="png", dpi=120)
        write(self.out.with_suffix(".png"), picture.getvalue())
