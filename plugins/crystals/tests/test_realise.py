"""Random structures keep symmetry and distances, and survive a CIF file."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from genkit.errors import GenkitError, UsageError
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.realise import Realiser, calculator, nearest_pair, realise, write_cif
from genkit_crystals.protostructures.sources import entries
from genkit_crystals.protostructures.structures import encode

LABELS = ["A3BC_cP5_221_c_a_b:O-Sr-Ti", "AB3C_oP20_62_c_cd_a:Ca-O-Ti", "A2B_hP9_154_c_a:O-Si", "AB_cF8_216_a_c:S-Zn"]


def test_round_trip_through_cif_files_with_their_space_group(tmp_path):
    crystals = [Protostructure.from_label(label) for label in LABELS]
    found = realise(crystals, Realiser(), seed=1, workers=1)
    for i, one in enumerate(found):
        assert one.reason == "" and one.nearest >= 0.6 and one.structure.composition.num_atoms == one.crystal.atoms
        write_cif(one.structure, tmp_path / f"{i}.cif")
        assert f"_symmetry_Int_Tables_number   {one.crystal.group}\n" in (tmp_path / f"{i}.cif").read_text()
    assert list(encode(entries(tmp_path), symprec=0.01).labels) == LABELS
    again = realise(crystals[:1], Realiser(), seed=1, workers=1)[0].structure
    assert np.array_equal(again.frac_coords, found[0].structure.frac_coords)


def test_what_cannot_be_made_has_a_reason():
    crystal = Protostructure.from_label(LABELS[0])
    assert "more than 4 atoms" in Realiser(largest=4).realise(crystal).reason
    assert "nearer than 9" in Realiser(near=9.0, tries=1).realise(crystal).reason


def test_distances_count_images():
    one = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
    assert nearest_pair(one) == float("inf")
    assert nearest_pair(Structure(Lattice.cubic(0.5), ["H"], [[0, 0, 0]])) == pytest.approx(0.5 / 0.62)


def test_relaxation_keeps_the_label_and_lowers_the_energy():
    found = Realiser(calculator="ase.calculators.emt:EMT", steps=30).realise(
        Protostructure.from_label("AB3_cP4_221_a_c:Au-Cu")
    )
    # EMT of ASE: L1_2 Cu3Au has a lattice constant near 3.70 A
    assert found.reason == "" and found.structure.lattice.a == pytest.approx(3.70, abs=0.05)
    assert found.energy < 0.1
    with pytest.raises(UsageError, match="module:function"):
        calculator("emt")
    with pytest.raises(GenkitError, match="not there"):
        calculator("no_such_module:x")
