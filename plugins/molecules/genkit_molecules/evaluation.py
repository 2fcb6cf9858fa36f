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
from rdkit.Chem import QED, Descriptors, rdFingerprintGenerator, rdMolDescriptors, rdmolops
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams
from rdkit.Chem.Scaffolds import MurckoScaffold
from rdkit.Contrib.SA_Score import sascorer  # type: ignore[import-not-found]
from scipy.stats import gaussian_kde, wasserstein_distance

from genkit.errors import UsageError
from genkit_molecules.chemistry import flat, from_smiles, parallel, quiet
from genkit_molecules.items import some


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


def synthetic(mol: Chem.Mol) -> float:
    """SA, synthetic accessibility from 1 (easy) to 10 (Ertl and Schuffenhauer 2009), by RDKit's contribution."""
    return sascorer.calculateScore(mol)


PROPERTIES = {"logP": log_p, "SA": synthetic, "QED": QED.qed, "weight": WEIGHT, "TPSA": rdMolDescriptors.CalcTPSA}
RINGS = {"rings": rdMolDescriptors.CalcNumRings}
MANY = 10_000  # molecules of a set whose divergences GuacaMol compares


def property_of(smiles: Sequence[str], name: str) -> np.ndarray:
    """A property (M,) of valid SMILES: logP, SA, QED, weight, TPSA, or rings, their number."""
    if name not in {**PROPERTIES, **RINGS}:
        raise UsageError(f"property {name!r}; expected {', '.join({**PROPERTIES, **RINGS})}")
    return np.array(parallel(partial(_property, name), list(smiles)) if len(smiles) else [], float)


def _property(name: str, smiles: str) -> float:
    return {**PROPERTIES, **RINGS}[name](Chem.MolFromSmiles(smiles))  # functions of RDKit go into no other process


def _of_mol(f: Any, smiles: str) -> Any:
    return f(Chem.MolFromSmiles(smiles))


def canonical(smiles: str | None) -> tuple[str, str] | None:
    """Canonical SMILES, and that of the molecule made `flat`, or None."""
    mol = from_smiles(smiles) if smiles else None
    if mol is None or not mol.GetNumAtoms():
        return None
    found = Chem.MolToSmiles(mol)
    # RDKit numbers a molecule anew after it was made flat
    return found, Chem.CanonSmiles(Chem.MolToSmiles(flat(mol))) if set(found) & set("@/\\[") else found


@dataclass(frozen=True)
class Sample:
    """A set of SMILES with what is computed from it once."""

    smiles: tuple[str | None, ...]

    @classmethod
    def of(cls, smiles: Sample | Sequence[str | None]) -> Sample:
        """Of SMILES; None and what RDKit cannot read is invalid."""
        quiet()
        return smiles if isinstance(smiles, Sample) else cls(tuple(smiles))

    @cached_property
    def both(self) -> list[tuple[str, str]]:
        """`canonical` of those that can be read, in their order."""
        return [s for s in parallel(canonical, self.smiles) if s is not None]

    @property
    def valid(self) -> list[str]:
        """Canonical SMILES of those that can be read, in their order."""
        return [s for s, _ in self.both]

    @cached_property
    def distinct(self) -> dict[str, None]:
        """Those that differ when made `flat`, as such, in the order in which they come first."""
        return dict.fromkeys(one for _, one in self.both)

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
        return Counter(f for pieces in parallel(partial(_of_mol, _fragments), self.valid) for f in pieces)

    @cached_property
    def scaffolds(self) -> Counter:
        """Murcko scaffolds with two rings or more."""
        return Counter(s for s in parallel(partial(_of_mol, _scaffold), self.valid) if s)

    @cached_property
    def properties(self) -> dict[str, np.ndarray]:
        """Those of `PROPERTIES`, of each valid molecule."""
        return {name: property_of(self.valid, name) for name in PROPERTIES}


def _fragments(mol: Chem.Mol) -> list[str]:
    return Chem.MolToSmiles(rdmolops.FragmentOnBRICSBonds(mol)).split(".")


def _scaffold(mol: Chem.Mol) -> str:
    scaffold = MurckoScaffold.GetScaffoldForMol(mol)
    return Chem.MolToSmiles(scaffold) if scaffold.GetRingInfo().NumRings() >= 2 else ""


def basic(sample: Sample | Sequence[str | None], train: Sample | Sequence[str] = ()) -> dict[str, float]:
    """Shares: validity; valid and in one piece; distinct among the valid; of these not in the training set; all three.

    SMILES with a dot are valid molecules in several pieces; `connected` counts none of these, and uniqueness and
    novelty are said of those in one piece too. Molecules that differ in stereochemistry (GuacaMol), isotopes or
    atom maps alone are the same. unique@k: distinct ones among the first k valid, of all where there are fewer (MOSES).
    <share>_se is a standard error.
    """
    gen, known = Sample.of(sample), set(Sample.of(train).distinct)
    if not gen.smiles:
        raise UsageError("no molecules to score; expected at least one SMILES or None")
    whole = [one for _, one in gen.both if "." not in one]
    found = {"validity": len(gen.both) / len(gen.smiles), "connected": len(whole) / len(gen.smiles)}
    for name, distinct, of in (("", set(gen.distinct), gen.both), ("_connected", set(whole), whole)):
        found[f"uniqueness{name}"] = _share(len(distinct), len(of))
        found[f"novelty{name}"] = _share(len(distinct - known), len(distinct))
    found["valid_unique_novel"] = len(set(whole) - known) / len(gen.smiles)
    for name, of in (("validity", gen.smiles), ("connected", gen.smiles), ("novelty", gen.distinct)):
        found[f"{name}_se"] = (found[name] * (1 - found[name]) / max(len(of), 1)) ** 0.5
    return found | {f"unique@{k}": _share(len(set(gen.valid[:k])), len(gen.valid[:k])) for k in (1000, 10_000)}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def alone(sample: Sample | Sequence[str | None]) -> dict[str, float]:
    """IntDiv, IntDiv2 and Filters of MOSES, and means of properties."""
    gen = Sample.of(sample)
    if not gen.valid:
        raise UsageError("no valid molecules to score")
    mean, root = np.zeros(len(gen.valid)), np.zeros(len(gen.valid))
    for i, f in enumerate(gen.fingerprints):
        row = np.array(DataStructs.BulkTanimotoSimilarity(f, gen.fingerprints))
        mean[i], root[i] = row.mean(), (row**2).mean() ** 0.5
    return {
        "IntDiv": 1 - float(mean.mean()),
        "IntDiv2": 1 - float(root.mean()),
        "Filters": float(np.mean(parallel(partial(_of_mol, passes), gen.valid))),
        **{f"mean_{name}": float(values.mean()) for name, values in gen.properties.items()},
    }


def beside(sample: Sample | Sequence[str | None], reference: Sample | Sequence[str]) -> dict[str, float]:
    """Frag, Scaf and SNN of MOSES, and with the extra `fcd` FCD, to a reference set."""
    gen, ref = Sample.of(sample), Sample.of(reference)
    if not gen.valid or not ref.valid:
        raise UsageError("no valid molecules to compare")
    nearest = [max(DataStructs.BulkTanimotoSimilarity(f, ref.fingerprints)) for f in gen.fingerprints]
    found = {
        "Frag": cosine(gen.fragments, ref.fragments),
        "Scaf": cosine(gen.scaffolds, ref.scaffolds),
        "SNN": float(np.mean(nearest)),
    }
    return found | ({"FCD": fcd(gen, ref)} if min(len(gen.valid), len(ref.valid)) > 1 and not no_fcd() else {})


def moses(sample: Sample | Sequence[str | None], reference: Sample | Sequence[str]) -> dict[str, float]:
    """`alone`, `beside`, and Wasserstein-1 distances of properties to a reference set."""
    gen, ref = Sample.of(sample), Sample.of(reference)
    found = beside(gen, ref) | alone(gen)
    return found | {
        f"W1_{name}": float(wasserstein_distance(gen.properties[name], ref.properties[name])) for name in PROPERTIES
    }


def protocol(
    sample: Sample | Sequence[str | None],
    reference: Sample | Sequence[str] | None = None,
    train: Sample | Sequence[str] | None = None,
    scaffolds: Sample | Sequence[str] | None = None,
) -> dict[str, float]:
    """All that MOSES and GuacaMol say of a sample: `basic`, `moses` and `guacamol_kl` beside a reference set.

    <score>/TestSF is beside a second one, MOSES's test set of other scaffolds. Novelty needs a training set. KL and
    FCD_score are those of GuacaMol, of distinct molecules, at most 10 000 of each set.
    """
    gen = Sample.of(sample)
    known = None if train is None else Sample.of(train)
    found = basic(gen, known or ())
    if known is None:
        found = {name: value for name, value in found.items() if "novel" not in name}
    if not gen.valid:
        return found
    if reference is None:
        found |= alone(gen)
    else:
        ref = Sample.of(reference)
        found |= moses(gen, ref)
        ours, theirs = list(gen.distinct)[:MANY], some(list(ref.distinct), MANY)
        if min(len(ours), len(theirs)) >= 3:
            found |= {f"KL_{name}".removesuffix("_score"): kl for name, kl in guacamol_kl(ours, theirs).items()}
        if not no_fcd():
            found["FCD_score"] = float(np.exp(-0.2 * fcd(ours, theirs)))
    if scaffolds is not None:
        found |= {f"{name}/TestSF": value for name, value in beside(gen, Sample.of(scaffolds)).items()}
    return found


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


def guacamol_kl(sample: Sample | Sequence[str | None], reference: Sample | Sequence[str]) -> dict[str, float]:
    """KL divergences of ten descriptors from the reference to the sample, and their score, mean of exp(-KL).

    Densities of continuous ones by a Gaussian kernel on 1000 points, counts by 10 bins of the reference, beyond which
    nothing counts; the tenth is the largest similarity (ECFP4 of 4096 bits) of a molecule to another one of its set.
    """
    gen, ref = Sample.of(sample).mols, Sample.of(reference).mols
    if min(len(gen), len(ref)) < 3:
        raise UsageError(f"{len(gen)} and {len(ref)} valid molecules; KL divergences need at least 3 of each")
    found = {}
    for name, f in CONTINUOUS.items():
        found[name] = _kl_density(np.array([f(m) for m in ref]), np.array([f(m) for m in gen]))
    for name, f in COUNTS.items():
        a, b = (np.array([f(m) for m in mols]) for mols in (ref, gen))
        edges = np.histogram_bin_edges(a, 10)
        found[name] = _kl(*(_density(counts, edges) for counts in (a, b)))
    found["internal similarity"] = _kl_density(_inside(ref), _inside(gen))
    return {**found, "score": float(np.mean([np.exp(-kl) for kl in found.values()]))}


def _inside(mols: Sequence[Chem.Mol]) -> np.ndarray:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=4096)
    fingerprints = [generator.GetFingerprint(m) for m in mols]
    rows = [DataStructs.BulkTanimotoSimilarity(f, fingerprints) for f in fingerprints]
    return np.array([max(row[:k] + row[k + 1 :]) for k, row in enumerate(rows)])


def _density(counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    inside = np.histogram(counts, edges)[0]
    return inside / max(inside.sum(), 1) / np.diff(edges)


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


def frechet_descriptors(sample: Sample | Sequence[str | None], reference: Sample | Sequence[str]) -> float:
    """FRD: the Frechet distance of RDKit descriptors, standardised by the reference. Not to be compared with FCD."""
    x, y = (descriptors(Sample.of(s).valid) for s in (sample, reference))
    scale = np.where(y.std(0) > 0, y.std(0), 1.0)
    return frechet(x / scale, y / scale)


def no_fcd() -> str:
    """Why FCD cannot be computed here; nothing where it can."""
    try:
        import fcd  # type: ignore[import-not-found] # noqa: F401
        import torch  # type: ignore[import-not-found] # noqa: F401
    except (ImportError, OSError) as error:
        return (f"FCD needs the package fcd, which brings torch ({error}): "
                'pip install -e "plugins/molecules[fcd]" in the checkout')  # fmt: skip
    return ""


def fcd(sample: Sample | Sequence[str | None], reference: Sample | Sequence[str]) -> float:
    """Frechet ChemNet distance (Preuer et al. 2018), with the network of the package `fcd`: the extra of this name."""
    x, y = (chemnet(tuple(Sample.of(s).valid)) for s in (sample, reference))
    return frechet(x, y)


@lru_cache(2)  # a reference serves many samples
def chemnet(smiles: tuple[str, ...], batch: int = 128) -> np.ndarray:
    """Features (M, 512) of ChemNet for canonical SMILES, on the CPU. Raises UsageError where `fcd` is not installed."""
    if why := no_fcd():
        raise UsageError(f"{why}; FRD needs nothing more")
    import torch  # type: ignore[import-not-found]
    from fcd import load_ref_model  # type: ignore[import-not-found]
    from fcd.utils import SmilesDataset  # type: ignore[import-not-found]

    network, items = load_ref_model(), SmilesDataset(list(smiles))
    # not by fcd.get_predictions: it forks, which hangs where jax has threads, and calls what numpy 2.5 lacks
    with torch.no_grad():
        parts = [network(rows.transpose(1, 2).float()) for rows in torch.utils.data.DataLoader(items, batch)]
    return torch.cat(parts).numpy()
