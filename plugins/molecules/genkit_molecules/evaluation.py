"""Scores of sets of molecules, given as SMILES: those of MOSES (Polykovskiy et al. 2020) and of GuacaMol (2019).

Generated molecules are canonicalised first; None and what RDKit cannot read is invalid and counts in validity alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import BRICS, QED, Descriptors, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams
from rdkit.Chem.Scaffolds import MurckoScaffold
from scipy.stats import gaussian_kde, wasserstein_distance

from genkit.errors import UsageError
from genkit_molecules.chemistry import parallel, quiet


def log_p(mol: Chem.Mol) -> float:
    """Crippen's logarithm of the partition coefficient."""
    return rdMolDescriptors.CalcCrippenDescriptors(mol)[0]


WEIGHT: Any = getattr(Descriptors, "MolWt")  # noqa: B009 - made when RDKit is imported
CONTINUOUS = {
    "BertzCT": Descriptors.BertzCT, "MolLogP": log_p, "MolWt": WEIGHT,
    "TPSA": rdMolDescriptors.CalcTPSA,
}  # fmt: skip
COUNTS = {
    "NumHAcceptors": rdMolDescriptors.CalcNumHBA, "NumHDonors": rdMolDescriptors.CalcNumHBD,
    "NumRotatableBonds": rdMolDescriptors.CalcNumRotatableBonds,
    "NumAliphaticRings": rdMolDescriptors.CalcNumAliphaticRings,
    "NumAromaticRings": rdMolDescriptors.CalcNumAromaticRings,
}  # fmt: skip
PROPERTIES = {"logP": log_p, "QED": QED.qed, "weight": WEIGHT, "TPSA": rdMolDescriptors.CalcTPSA}
RINGS = {"rings": rdMolDescriptors.CalcNumRings}


def property_of(smiles: Sequence[str], name: str) -> np.ndarray:
    """A property (M,) of valid SMILES: logP, QED, weight, TPSA, or rings, their number."""
    f = {**PROPERTIES, **RINGS}[name]
    return np.array(parallel(partial(_property, f), list(smiles)), float)


def _property(f: Any, smiles: str) -> float:
    return f(Chem.MolFromSmiles(smiles))


def canonical(smiles: str | None) -> str | None:
    """Canonical SMILES, or None."""
    mol = Chem.MolFromSmiles(smiles) if smiles else None
    return None if mol is None else Chem.MolToSmiles(mol)


@dataclass(frozen=True)
class Sample:
    """A set of SMILES with what is computed from it once."""

    smiles: tuple[str | None, ...]

    @cached_property
    def valid(self) -> list[str]:
        """Canonical SMILES of those that can be read, in their order."""
        return [s for s in parallel(canonical, self.smiles) if s is not None]

    @cached_property
    def mols(self) -> list[Chem.Mol]:
        """The valid ones."""
        return [Chem.MolFromSmiles(s) for s in self.valid]

    @cached_property
    def fingerprints(self) -> list[Any]:
        """Morgan fingerprints of radius 2 in 1024 bits."""
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
        return [generator.GetFingerprint(m) for m in self.mols]

    @cached_property
    def fragments(self) -> Counter:
        """Pieces between BRICS bonds, all of which are cut at once."""
        return Counter(f for m in self.mols for f in Chem.MolToSmiles(BRICS.BreakBRICSBonds(m)).split("."))

    @cached_property
    def scaffolds(self) -> Counter:
        """Murcko scaffolds with two rings or more."""
        found = Counter()
        for m in self.mols:
            scaffold = MurckoScaffold.GetScaffoldForMol(m)
            if scaffold.GetRingInfo().NumRings() >= 2:
                found[Chem.MolToSmiles(scaffold)] += 1
        return found

    def property(self, name: str) -> np.ndarray:
        """A property of `PROPERTIES` of each valid molecule."""
        return np.array([PROPERTIES[name](m) for m in self.mols])


def basic(sample: Sequence[str | None], train: Sequence[str] = ()) -> dict[str, float]:
    """Shares: validity; valid and in one piece; distinct among the valid; of these not in the training set; all three.

    SMILES with a dot are valid molecules in several pieces; `connected` counts none of these.
    """
    quiet()
    if not sample:
        raise UsageError("no molecules to score; expected at least one SMILES or None")
    valid = Sample(tuple(sample)).valid
    distinct, known = set(valid), set(train)
    new = distinct - known
    nothing = float("nan")
    return {
        "validity": len(valid) / len(sample),
        "connected": sum("." not in s for s in valid) / len(sample),
        "uniqueness": len(distinct) / len(valid) if valid else nothing,
        "novelty": len(new) / len(distinct) if distinct else nothing,
        "valid_unique_novel": len({s for s in new if "." not in s}) / len(sample),
    }


def moses(sample: Sequence[str | None], reference: Sequence[str]) -> dict[str, float]:
    """Frag, Scaf, SNN, IntDiv and IntDiv2, Filters, and Wasserstein-1 distances of properties, to a reference set."""
    quiet()
    gen, ref = Sample(tuple(sample)), Sample(tuple(reference))
    if not gen.valid or not ref.valid:
        raise UsageError("no valid molecules to compare")
    # every molecule with every other: the matrix of similarities is made once
    inside = np.array([DataStructs.BulkTanimotoSimilarity(f, gen.fingerprints) for f in gen.fingerprints])
    nearest = [max(DataStructs.BulkTanimotoSimilarity(f, ref.fingerprints)) for f in gen.fingerprints]
    return {
        "Frag": cosine(gen.fragments, ref.fragments),
        "Scaf": cosine(gen.scaffolds, ref.scaffolds),
        "SNN": float(np.mean(nearest)),
        "IntDiv": 1 - float(inside.mean()),
        "IntDiv2": 1 - float(np.sqrt((inside**2).mean(1)).mean()),
        "Filters": float(np.mean([passes(m) for m in gen.mols])),
        **{f"W1_{name}": float(wasserstein_distance(gen.property(name), ref.property(name))) for name in PROPERTIES},
    }


def cosine(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Cosine of two vectors of counts; NaN where one is empty."""
    norm = (sum(v * v for v in a.values()) * sum(v * v for v in b.values())) ** 0.5
    return float(sum(v * b.get(k, 0) for k, v in a.items()) / norm) if norm else float("nan")


def passes(mol: Chem.Mol, allowed: frozenset[str] = frozenset(("C", "N", "S", "O", "F", "Cl", "Br", "H"))) -> bool:
    """Neither PAINS nor a charge, a ring of 8 atoms or more, or another element.

    MOSES has 22 medicinal filters (MCF) beside PAINS, which RDKit does not ship.
    """
    rings = mol.GetRingInfo().AtomRings()
    if any(len(r) >= 8 for r in rings) or any(a.GetFormalCharge() for a in mol.GetAtoms()):
        return False
    if any(a.GetSymbol() not in allowed for a in mol.GetAtoms()):
        return False
    return not _pains().HasMatch(Chem.AddHs(mol))


def _pains() -> FilterCatalog:
    if not _CATALOG:
        params = FilterCatalogParams()
        params.AddCatalog(FilterCatalogParams.FilterCatalogs.PAINS)
        _CATALOG.append(FilterCatalog(params))
    return _CATALOG[0]


_CATALOG: list[FilterCatalog] = []


def guacamol_kl(sample: Sequence[str | None], reference: Sequence[str]) -> dict[str, float]:
    """KL divergences of ten descriptors from the reference to the sample, and their score, mean of exp(-KL).

    Densities of continuous ones by a Gaussian kernel on 1000 points, counts by 10 bins; the tenth is the largest
    similarity (ECFP4 of 4096 bits) of a molecule to another one of its own set.
    """
    quiet()
    gen, ref = Sample(tuple(sample)).mols, Sample(tuple(reference)).mols
    if min(len(gen), len(ref)) < 3:
        raise UsageError(f"{len(gen)} and {len(ref)} valid molecules; KL divergences need at least 3 of each")
    found = {}
    for name, f in CONTINUOUS.items():
        found[name] = _kl_density(np.array([f(m) for m in ref]), np.array([f(m) for m in gen]))
    for name, f in COUNTS.items():
        a, b = (np.array([f(m) for m in mols]) for mols in (ref, gen))
        edges = np.histogram_bin_edges(np.concatenate([a, b]), 10)
        found[name] = _kl(np.histogram(a, edges)[0], np.histogram(b, edges)[0])
    found["internal similarity"] = _kl_density(_inside(ref), _inside(gen))
    return {**found, "score": float(np.mean([np.exp(-kl) for kl in found.values()]))}


def _inside(mols: Sequence[Chem.Mol]) -> np.ndarray:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=4096)
    fingerprints = [generator.GetFingerprint(m) for m in mols]
    rows = [DataStructs.BulkTanimotoSimilarity(f, fingerprints) for f in fingerprints]
    return np.array([max(row[:k] + row[k + 1 :]) for k, row in enumerate(rows)])


def _kl_density(p: np.ndarray, q: np.ndarray) -> float:
    if min(np.ptp(p), np.ptp(q)) == 0:  # no density of a point
        return 0.0 if np.ptp(np.concatenate([p, q])) == 0 else float("inf")
    grid = np.linspace(min(p.min(), q.min()), max(p.max(), q.max()), 1000)
    return _kl(gaussian_kde(p)(grid), gaussian_kde(q)(grid))


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    p, q = p + 1e-10, q + 1e-10
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """|mu_x - mu_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)) of features (n, d) and (m, d)."""
    mean = ((x.mean(0) - y.mean(0)) ** 2).sum()
    a, b = (np.atleast_2d(np.cov(z, rowvar=False)) for z in (x, y))
    # the root of C_x C_y has the trace of that of the symmetric C_x^(1/2) C_y C_x^(1/2)
    value, vector = np.linalg.eigh(a)
    half = vector * np.sqrt(np.clip(value, 0, None)) @ vector.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(half @ b @ half), 0, None)).sum()
    return float(mean + np.trace(a) + np.trace(b) - 2 * cross)


def descriptors(smiles: Sequence[str]) -> np.ndarray:
    """Ten RDKit descriptors (M, 10) of valid molecules."""
    names = {**CONTINUOUS, **COUNTS, "QED": QED.qed}
    mols = [Chem.MolFromSmiles(s) for s in smiles]
    return np.array([[f(m) for f in names.values()] for m in mols], float)


def frechet_descriptors(sample: Sequence[str | None], reference: Sequence[str]) -> float:
    """FRD: the Frechet distance of RDKit descriptors, standardised by the reference. Not to be compared with FCD."""
    x, y = (descriptors(Sample(tuple(s)).valid) for s in (sample, reference))
    scale = np.where(y.std(0) > 0, y.std(0), 1.0)
    return frechet(x / scale, y / scale)


def fcd(sample: Sequence[str | None], reference: Sequence[str]) -> float:
    """Frechet ChemNet distance (Preuer et al. 2018), with the network of the package `fcd`: the extra of this name."""
    x, y = (chemnet(tuple(Sample(tuple(s)).valid)) for s in (sample, reference))
    return frechet(x, y)


@lru_cache(2)  # a reference serves many samples
def chemnet(smiles: tuple[str, ...], batch: int = 128) -> np.ndarray:
    """Features (M, 512) of ChemNet for canonical SMILES, on the CPU. Raises UsageError where `fcd` is not installed."""
    try:
        import torch  # type: ignore[import-not-found]
        from fcd import load_ref_model  # type: ignore[import-not-found]
        from fcd.utils import SmilesDataset  # type: ignore[import-not-found]
    except ImportError:
        raise UsageError(
            'FCD needs the package fcd, which brings torch: pip install "genkit-molecules[fcd]"; FRD needs nothing more'
        ) from None
    network, items = load_ref_model(), SmilesDataset(list(smiles))
    # not by fcd.get_predictions: it forks, which hangs where jax has threads, and calls what numpy 2.5 lacks
    with torch.no_grad():
        parts = [network(rows.transpose(1, 2).float()) for rows in torch.utils.data.DataLoader(items, batch)]
    return torch.cat(parts).numpy()
