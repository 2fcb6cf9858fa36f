"""Random structures keep symmetry and distances, and survive a CIF file."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from scipy.special import erfc

from genkit.errors import GenkitError, UsageError
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.realise import Realiser, _calculating, calculator, nearest_pair, realise
from genkit_crystals.protostructures.sources import entries
from genkit_crystals.protostructures.starts import _Atoms, _matrices, _nature, _shapes, starts
from genkit_crystals.protostructures.structures import encode

LABELS = ["A3BC_cP5_221_c_a_b:O-Sr-Ti", "AB3C_oP20_62_c_cd_a:Ca-O-Ti", "A2B_hP9_154_c_a:O-Si", "AB_cF8_216_a_c:S-Zn"]


def test_round_trip_through_cif_files_with_their_space_group(tmp_path):
    crystals = [Protostructure.from_label(label) for label in LABELS]
    found = realise(crystals, Realiser(draws=40, tries=3), range(4), workers=1)
    for i, one in enumerate(found):
        assert one.reason == "" and one.nearest >= 0.6 and one.structure.composition.num_atoms == one.crystal.atoms
        assert one.label == one.crystal.label and one.converged is None
        one.write_cif(tmp_path / f"{i}.cif")
        assert f"_symmetry_Int_Tables_number   {one.crystal.group}\n" in (tmp_path / f"{i}.cif").read_text()
    assert list(encode(entries(tmp_path), symprec=0.01).labels) == LABELS
    again = realise(crystals[:1], Realiser(draws=40, tries=3), [0], workers=1)[0].structure
    assert np.array_equal(again.frac_coords, found[0].structure.frac_coords)


def test_what_cannot_be_made_has_a_reason():
    crystal = Protostructure.from_label(LABELS[0])
    assert "more than 4 atoms" in Realiser(largest=4).realise(crystal).reason
    assert "nearer than 9" in Realiser(near=9.0, tries=1).realise(crystal).reason


def test_distances_count_images():
    one = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
    assert nearest_pair(one) == pytest.approx(2 / 0.62)  # however far
    assert nearest_pair(Structure(Lattice.cubic(0.5), ["H"], [[0, 0, 0]])) == pytest.approx(0.5 / 0.62)
    # hydrogen 1.24 A apart is seen before cesium 5.1 A apart, which is nearer in its radii
    two = Structure(Lattice.tetragonal(5.1, 30), ["Cs", "H", "H"], [[0, 0, 0], [0, 0, 0.5], [0, 0, 0.5 + 1.24 / 30]])
    assert nearest_pair(two) == pytest.approx(5.1 / 4.88)


ALLOY = Protostructure.from_label("AB3_cP4_221_a_c:Au-Cu")


def test_relaxation_keeps_the_label_and_lowers_the_energy():
    found = Realiser(draws=20, tries=2, calculator="ase.calculators.emt:EMT", steps=30).realise(ALLOY)
    # EMT of ASE: L1_2 Cu3Au has a lattice constant near 3.70 A
    assert found.reason == "" and found.structure.lattice.a == pytest.approx(3.70, abs=0.05)
    assert found.energy < 0.1 and found.converged and 1 <= found.steps < 30
    few = Realiser(draws=20, tries=2, calculator="emt", steps=1, force=1e-6).realise(ALLOY)
    assert few.structure is not None and not few.converged and few.steps == 1
    assert few.reason.startswith("not relaxed in 1 steps: largest force")
    with pytest.raises(UsageError, match="module:function"):
        calculator("empt")
    with pytest.raises(GenkitError, match="not there"):
        calculator("no_such_module:x")


def test_no_two_threads_share_a_calculator():
    """It keeps the atoms that it computes: energies of one would be those of the other's."""
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(calculator, "emt").result()
        assert pool.submit(calculator, "emt").result() is other
    assert calculator("emt") is calculator("emt") is not other


def test_one_crystal_that_fails_is_its_own_reason(monkeypatch):
    """EMT knows no sodium; a calculator may also raise what it likes, or give what is no number."""
    salt = Protostructure.from_label("AB_cF8_225_a_b:Cl-Na")
    made = realise([ALLOY, salt, ALLOY], Realiser(draws=20, tries=2, calculator="emt"), [0, 1, 2], workers=1)
    assert [one.structure is None for one in made] == [False, True, False]
    assert made[1].reason.startswith("calculator emt: ") and made[1].label == ""
    for name, says in {"leaves": "SystemExit", "nothing": "not finite"}.items():
        one = Realiser(calculator=f"{__name__}:{name}", draws=20, tries=2).realise(ALLOY)
        assert one.structure is None and says in one.reason
    module = sys.modules["genkit_crystals.protostructures.realise"]  # the face has a function of its name
    monkeypatch.setattr(module, "starts", lambda *_: 1 / 0)
    assert "ZeroDivisionError" in realise([ALLOY], Realiser(), [0], workers=1)[0].reason


class _Odd(LennardJones):
    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["energy"] = float("nan")


class _Leaves(LennardJones):
    def calculate(self, *args, **kwargs):
        raise SystemExit


def nothing():
    return _Odd()


def leaves():
    return _Leaves()


def test_a_relaxed_crystal_has_its_new_label():
    """A body-centred tetragonal lattice of copper relaxes to the face-centred cubic one."""
    tetragonal = Protostructure.from_label("A_tI2_139_a:Cu")
    found = Realiser(calculator="emt").realise(tetragonal)
    assert found.reason == "" and found.crystal == tetragonal and found.label == "A_cF4_225_a:Cu"


def test_the_sums_of_the_pair_potential():
    """Rock salt: 6 unlike neighbours at a/2, 12 like ones at a/sqrt 2, ...; the length scales all of them."""
    salt = Protostructure.from_label("AB_cF8_225_a_b:Cl-Na")
    atoms = _Atoms.of(salt)
    free = np.zeros((1, atoms.orbits, 3))
    radii, charges = _nature(tuple(atoms.z))
    assert charges.sum() == pytest.approx(0) and charges[atoms.z == 11] == pytest.approx(charges.max())
    cell = np.eye(3)[None] * 2.0  # eight atoms in a volume of 8
    a, b, c = atoms._sums(cell, atoms.places(free), np.array([2, 2, 2]))[0]
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), -1).reshape(-1, 3)
    r, unlike = np.linalg.norm(grid, axis=1), grid.sum(1) % 2 == 1
    use = (r > 0) & (r <= 2.6)
    q, of = {z: charges[atoms.z == z][0] for z in (11, 17)}, {z: radii[atoms.z == z][0] for z in (11, 17)}
    six = np.array([np.where(unlike, of[11] + of[17], 2 * of[z])[use] ** 6 / r[use] ** 6 for z in (11, 17)])
    charge = np.array([np.where(unlike, q[11] * q[17], q[z] ** 2)[use] for z in (11, 17)])
    near = six * np.maximum(0, np.minimum(1, 1 - 5 * charge))
    expected = [np.sum(np.square(six)) / 4, np.sum(near) / 2, 14.4 * np.sum(charge * erfc(1.2 * r[use]) / r[use]) / 4]
    np.testing.assert_allclose([a, b, c], expected, rtol=1e-10)


def test_cells_have_the_shape_of_their_family():
    rng = np.random.default_rng(0)
    for group, equal in {2: 0, 62: 3, 136: 4, 194: 4, 225: 5}.items():
        matrix = _matrices(_shapes(group, rng, 5))
        lengths = np.linalg.norm(matrix, axis=2)
        cosines = np.einsum("nij,nkj->nik", matrix, matrix) / lengths[:, :, None] / lengths[:, None]
        right = np.isclose(cosines[:, [1, 0, 0], [2, 2, 1]], [0, 0, -0.5 if group == 194 else 0]).all()
        same = np.isclose(lengths, lengths[:, :1]).all(0).sum() - 1
        assert same + 3 * right == equal


def test_starts_find_what_symmetry_leaves_open():
    """Rutile's oxygen parameter and c/a, and c/a of magnesium, without any energies."""
    rutile = Structure.from_spacegroup(
        136, Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.3053, 0.3053, 0]]
    )
    packed = Structure.from_spacegroup(194, Lattice.hexagonal(3.21, 5.21), ["Mg"], [[1 / 3, 2 / 3, 0.25]])
    for label, truth in {"A2B_tP6_136_f_a:O-Ti": rutile, "A_hP2_194_c:Mg": packed}.items():
        found = starts(Protostructure.from_label(label), 100, 10, 0)
        assert any(StructureMatcher().fit(one, truth) for one in found)


def test_a_calculator_that_was_stopped_is_made_anew():
    """It may be half done; one that has finished is kept."""
    with _calculating("emt") as first:
        pass
    assert calculator("emt") is first
    with pytest.raises(TimeoutError), _calculating("emt"):
        raise TimeoutError
    assert calculator("emt") is not first
