"""Models as configurations of parts of the core, and the experiments end to end."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rdkit import Chem

import genkit
from genkit.cli import main
from genkit.discrete import sample
from genkit.errors import UsageError
from genkit_molecules.chemistry import enumerate_graphs, smiles_of
from genkit_molecules.evaluation import property_of
from genkit_molecules.items.data import Molecules
from genkit_molecules.items.rows import Rows
from genkit_molecules.models.discrete import Discrete, Name, cross_entropy, in_parallel, site_costs

KEY = jax.random.key(0)
X = np.array([[0, 1, 5, 1, 0, 2]] * 3 + [[0, 0, 0, 1, 1, 0]], np.uint8)  # three atoms of six elements
DATA = Molecules(("C", "N", "O", "F", "S", "Cl"), (Rows(3, X),), (), (), ())
SPACE = DATA.layout.space(3)


def flat(x, t, cond=None):
    return jnp.zeros((*x.shape, 6))


def test_sites_of_graphs():
    """Frequencies of the data, by atoms and by bonds, of which there are four classes."""
    atoms = np.bincount(X[:, :3].ravel(), minlength=6) / 12
    bonds = np.bincount(X[:, 3:].ravel(), minlength=6) / 12
    np.testing.assert_allclose(SPACE.weights[[0, 4]], [atoms, bonds], atol=1e-5)
    assert SPACE.allowed is not None and SPACE.allowed.sum(1).tolist() == [6] * 3 + [4] * 3
    assert (SPACE.weights[3:, 4:] == 0).all() and (SPACE.weights > 0).sum() == 30


@pytest.mark.parametrize("name", ["euler", "flow", "remasked", "marginal"])
def test_every_model_draws_legal_classes(name: Name):
    """With equal logits all classes that a site has are alike."""
    model = Discrete(name, steps=20, eta=0.5)
    x = np.asarray(sample(KEY, model.sampler(SPACE), flat, (3000, 6)))
    assert x[:, 3:].max() == 3 and x[:, :3].max() == 5
    np.testing.assert_allclose(np.bincount(x[:, 3:].ravel(), minlength=4) / 9000, 0.25, atol=0.03)


def test_losses():
    """Of equal logits, atoms have log 6 and bonds log 4 nats a site."""
    x = jnp.asarray(np.tile(X, (32, 1)), jnp.int32)
    nats = 3 * np.log(6) + 3 * np.log(4)
    assert float(Discrete("ardm").loss(KEY, flat, x, None, None, SPACE)) == pytest.approx(nats, rel=0.03)
    assert float(Discrete("masked").loss(KEY, flat, x, None, None, SPACE)) == pytest.approx(nats, rel=0.15)
    atoms = jnp.zeros(x.shape, bool).at[:, :3].set(True)
    digress = Discrete("marginal", steps=20, likelihood=False)
    found = cross_entropy(KEY, flat, x, None, digress.process(SPACE), 20, ((atoms, 1 / 3), (~atoms, 5 / 3)))
    assert float(found) == pytest.approx(np.log(6) + 5 * np.log(4), rel=1e-5)
    cost = site_costs(KEY, flat, x, None, SPACE)
    np.testing.assert_allclose(cost.sum(), 6 * nats / 6, rtol=0.05)
    assert in_parallel(np.array([3.0, 2.0, 2.5, 1.0]), 2)[-1] == 4


def experiment(tmp_path, name, **options) -> Any:
    run = genkit.run(genkit.config(f"molecules.{name}", "tiny", options), out=tmp_path / "run")
    for method in {key.partition("/")[2] for key in run.results if key.startswith("validity/")}:
        lines = (run.folder / f"samples_{method.replace('/', '_')}.smi").read_text().split("\n")[:-1]
        assert len(lines) == 40
        results: Any = run.results
        assert results[f"validity/{method}"] == sum(line != "" for line in lines) / 40
        assert results[f"connected/{method}"] <= results[f"validity/{method}"]
    return run


@pytest.fixture(scope="module")
def ardm(tmp_path_factory):
    """A run of molecules.ardm."""
    return experiment(tmp_path_factory.mktemp("ardm"), "ardm")


def test_ardm(ardm, tmp_path, capsys):
    """Its samples can be held to a part; they are drawn until enough are valid."""
    assert {"molecules_ardm", "molecules_data"} <= set(ardm.figures) and ardm.results["rate/ardm"] > 0
    out = tmp_path / "x.csv"
    words = ["sample", str(ardm.folder), "--n", "12", "--scaffold", "*C=O", "--valid", "--out", str(out)]
    assert main(words) == 0 and "12 samples of " in capsys.readouterr().out
    smiles = [line.partition(",")[0] for line in out.read_text().split("\n")[1:-1]]
    part = Chem.MolFromSmarts("[*]-[C]=[O]")
    assert len(smiles) == 12 and all(Chem.MolFromSmiles(s).HasSubstructMatch(part) for s in smiles)


def test_a_perfect_sampler_is_scored_as_such(monkeypatch):
    """However few are compared of a test set that is ordered by size: scores sit at the noise of so many draws."""
    from genkit_molecules.experiments import molecules

    monkeypatch.setattr(molecules, "SCORED", 150)
    smiles = [s for n in (2, 3, 4) for s in smiles_of(enumerate_graphs(n), "CNOF") if s]
    data = Molecules(tuple("CNOF"), (), (), (), tuple(smiles))
    drawn: Any = list(np.random.default_rng(1).permutation(smiles))
    found: Any = molecules.scores(data, {"x": drawn}, None)
    for name in ("weight", "logP"):
        spread = property_of(smiles, name).std()
        assert found[f"W1_{name}/x"] < 3 * spread * (2 / 150) ** 0.5
    ordered: Any = molecules.scores(data, {"x": list[Any](smiles)}, None)  # what a cut of ordered samples would give
    assert ordered["W1_weight/x"] > 3 * property_of(smiles, "weight").std() * (2 / 150) ** 0.5


def test_digress(tmp_path):
    run = experiment(tmp_path, "digress", diffusion_steps=5)
    assert "validity/marginal" in run.results
    with pytest.raises(UsageError, match="diffusion_steps=0"):
        genkit.config("molecules.digress", "tiny", {"diffusion_steps": 0})


def test_discriminator_guidance(ardm, tmp_path):
    """Of a model that is trained already, whose critics are trained in another run; sampled from that afterwards."""
    run = experiment(tmp_path, "discriminator_guidance", generator=f"{ardm.folder}/model")
    assert {f"validity/{name}" for name in ("ardm/1", "ardg/1", "bsdg/2", "fadg/2")} <= set(run.results)
    assert run.results["collapsed/fadg/2"] == 0 and 1 <= run.results["ess/fadg/2"] <= 2.001
    mine, other = (jax.tree.leaves(model.generator.denoiser.params) for model in (run.model, ardm.model))
    assert all(map(np.array_equal, mine, other))
    before = (run.folder / "samples_fadg_2.smi").read_text()
    out = tmp_path / "x.smi"
    assert main(["sample", str(run.folder), "--n", "30", "--chunk", "20", "--method", "fadg/2", "--out", str(out)]) == 0
    assert len(out.read_text().split("\n")) == 31 and out.read_text() != before


@pytest.mark.slow
def test_guided_digress(tmp_path):
    """Its discriminator sees noisy molecules; particles are weighed after the draw."""
    run = experiment(tmp_path, "discriminator_guidance", generator="digress", diffusion_steps=4)
    assert {"validity/marginal/1", "validity/bsdg/2"} <= set(run.results) and "validity/fadg/2" not in run.results
    assert run.model.discriminator.network.unit == 0.25


def test_property_guidance(tmp_path):
    run = experiment(tmp_path, "property_guidance", wanted="rings", threshold=0.5)
    assert run.results["yes/data"] == pytest.approx(26 / 94)
    assert {f"yes/{name}" for name in ("ardm/1", "cfg/1", "classifier/1", "classifier/2", "both/2")} <= set(run.results)
    assert "property" in run.figures
    with pytest.raises(UsageError, match="100% of the training set"):
        experiment(tmp_path / "other", "property_guidance", wanted="rings", threshold=-1.0)


@pytest.mark.slow
def test_the_example(tmp_path, monkeypatch):
    """All ways are scored; what is held to a part has it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "examples"))
    from molecules import main as example  # type: ignore[import-not-found]

    found = example(tmp_path, "tiny", atoms=3, n=40, rounds=1)
    assert set(found) == {"held to C=O", "model", "candidates", "particles", "rounds"}
    assert found["candidates"]["in one piece"] > found["model"]["in one piece"] < found["particles"]["in one piece"]
    assert (tmp_path / "round1/model/model.yaml").is_file()
