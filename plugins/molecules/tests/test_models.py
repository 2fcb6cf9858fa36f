"""Trained models: any size in one program, any method, files. Nothing is trained here."""

import csv
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genkit
from genkit.cli import main
from genkit.errors import UsageError
from genkit.model import Critic, request_of
from genkit_molecules.chemistry.chem import to_smiles
from genkit_molecules.items import Sequences
from genkit_molecules.items.data import Molecules
from genkit_molecules.items.rows import Rows, some
from genkit_molecules.models.discrete import Discrete
from genkit_molecules.models.draw import Method, block, drawn
from genkit_molecules.models.graphs import DiGress, GraphARDM
from genkit_molecules.models.guided import SteeredSequences
from genkit_molecules.models.trained import Generator, Guided
from genkit_molecules.models.widths import Trimmed, bounded

KEY = jax.random.key(0)
GRAPHS = Rows(2, np.array([[0, 2, 1]], np.uint8)), Rows(3, np.array([[0, 0, 3, 1, 0, 1]] * 3, np.uint8))
DATA = Molecules(("C", "N", "O", "F"), GRAPHS, (), ("CO",) + ("CCF",) * 3, ())


@jax.tree_util.Partial
def single_bonds(x, t, cond: Any = None):
    """Carbon with 0.7, nitrogen with 0.3, and single bonds, of any graph."""
    atoms = jnp.arange(x.shape[1]) < cond["mask"].shape[1]
    law = jnp.where(atoms[:, None], jnp.array([0.7, 0.3, 0.0, 0.0]), jnp.array([0.0, 1.0, 0.0, 0.0]))
    return jnp.broadcast_to(jnp.log(law), (*x.shape, 4))


@jax.tree_util.Partial
def nitrogen(x, t, cond: Any = None):
    """log W = log 3 for each nitrogen that is seen."""
    n = cond["mask"].shape[1]
    return jnp.log(3.0) * ((x[:, :n] == 1) & cond["mask"]).sum(1)


MODEL = Generator(DATA.layout, single_bonds, Discrete("ardm"))
GUIDED = Guided(MODEL, Critic(nitrogen))


def draw(model, name, n, chunk, strength=3.0) -> dict[str, Any]:
    pieces = list(drawn(model, KEY, n, Method.named(name, model), chunk, strength))
    return {k: np.concatenate([piece[k] for piece in pieces]) for k in pieces[0]}


def test_rows_of_one_width_hold_graphs_of_any_size():
    rows = DATA.rows("train")
    size = rows["mask"].sum(1)
    assert rows["x"].shape == (4, 6) and size.tolist() == [2, 3, 3, 3]
    assert DATA.layout.texts(rows["x"], size) == [to_smiles(x, DATA.elements) for g in GRAPHS for x in g.x]


@pytest.mark.parametrize("counts, programs", [((1, 9), 1), ((9, 1), 2)])
def test_items_do_not_depend_on_their_number_or_the_chunks(counts, programs):
    """Sizes and classes have their laws; what is not real is 0. Where most are small, these have their own program."""
    model = replace(MODEL, layout=replace(DATA.layout, counts=np.array(counts)))
    share = np.array(counts) / 10
    assert len(bounded(np.array([2, 3]), share, lambda size: model.layout.width(size) ** 2)) == programs
    whole, parts = draw(model, "ardm", 900, 900), draw(model, "ardm", 700, 300)
    for name in whole:
        np.testing.assert_array_equal(whole[name][:700], parts[name])
    x, size = whole["samples"], whole["size"]
    assert abs((size == 3).mean() - share[1]) < 0.05 and (size[1:] != size[:-1]).sum() > 100  # in random order
    assert not x[size == 2][:, [2, 4, 5]].any() and (x[size == 3][:, 3:] == 1).all() and (x[:, 3] == 1).all()
    assert abs((x[:, :2] == 1).mean() - 0.3) < 0.035


def test_rows_of_a_program_are_equal_on_all_devices(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    assert [block(expected) for expected in (500, 101.0, 3.2, 0.1)] == [128, 28, 4, 4]


def test_each_program_saves_a_tenth_of_the_cost():
    fourth = lambda size: size**4  # noqa: E731
    assert bounded(np.array([9, 8, 7]), np.array([0.9, 0.08, 0.02]), fourth) == (9,)  # QM9
    assert bounded(np.array([1, 10]), np.array([0.11, 0.89]), fourth) == (1, 10)
    assert bounded(np.array([10, 1]), np.array([0.91, 0.09]), fourth) == (10,)
    bounds = bounded(np.arange(1, 101), np.full(100, 0.01), fourth)
    assert len(bounds) == 4 and bounds[-1] == 100 and 67 in bounds  # 5 k^4 = 100^4 at the best first bound


def test_batches_in_training_are_as_wide_as_their_items():
    """What is real is the same; rows of two atoms have three sites of six, unless one of three is there."""
    layout, two = DATA.layout, np.arange(3) < 2
    few, many = (np.tile(two, (10, 1)) for _ in range(2))
    few[9], many[:] = True, True
    trimmed, whole, small = Trimmed.of(layout, few, 1), Trimmed.of(layout, many, 1), Trimmed.of(layout, few, 2)
    assert trimmed.bounds == (2, 3) and trimmed.near.tolist() == [2] * 9 + [3]
    assert whole.bounds == small.bounds == (3,) and whole.near is small.near is None  # all large, or few batches
    x, scale = jnp.arange(60).reshape(10, 6), jnp.float32(2)

    def loss(scale, x, cond):
        return scale**2 * ((x * layout.real(cond["mask"])).sum() + 1e4 * x.shape[1])

    for rows, wide in ((slice(9), 3), (slice(10), 6)):
        cond = {"mask": jnp.asarray(few[rows])}
        value, slope = jax.jit(jax.value_and_grad(lambda s: 3 * trimmed(loss, s, x[rows], cond)))(scale)  # noqa: B023
        expected = (x[rows] * layout.real(cond["mask"])).sum() + 1e4 * wide
        assert float(value) == 12 * expected and float(slope) == 12 * expected


@pytest.mark.parametrize("name", ["ardg", "fadg/3", "bsdg/40"])
def test_guided_items_of_any_size(name):
    """Weights 1 and 3 of carbon and nitrogen: evidence 1.6 an atom, and nitrogen with 0.9 / 1.6."""
    found = draw(GUIDED, name, 400, 200)
    if "bsdg" not in name:
        np.testing.assert_allclose(found["log_z"], found["size"] * np.log(1.6), rtol=1e-5)
    assert abs((found["samples"][:, :2] == 1).mean() - 0.9 / 1.6) < 0.06 and not found["collapsed"].any()
    assert np.mean(np.exp(found["log_z"] - found["size"] * np.log(1.6))) == pytest.approx(1, abs=0.05)


def test_a_learned_order(tmp_path):
    """The network that draws the values draws the order too, and a saved one the same; training reaches all of it."""
    recipe = replace(GraphARDM.preset("tiny"), order="learned", sizes=1)
    model = recipe._untrained(DATA)
    params = jax.jit(model.denoiser.apply.init)(KEY)
    model = replace(model, denoiser=replace(model.denoiser, params=jax.device_get(params)))
    model.save(tmp_path / "model")
    found, again = (draw(m, "ardm", 40, 40)["samples"] for m in (model, genkit.load_model(tmp_path / "model")))
    np.testing.assert_array_equal(found, again)
    rows = DATA.rows("train")
    x, cond = jnp.asarray(rows["x"], jnp.int32), {"mask": jnp.asarray(rows["mask"])}
    bound = lambda p: replace(model, denoiser=replace(model.denoiser, params=p)).bound(KEY, x, cond)  # noqa: E731
    of = jax.jit(jax.grad(bound))(params)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(of))
    assert all(float(jnp.abs(of[part]["second"]["bias"][-2:]).max()) > 0 for part in ("out_x", "out_e"))
    with pytest.raises(UsageError, match="order here is learned"):
        Method.named("cfg", model)
    with pytest.raises(UsageError, match="calls=3 is for orders that are given"):
        GraphARDM(order="learned", calls=3)
    with pytest.raises(UsageError, match="order=learned has no classifier-free guidance"):
        genkit.config("molecules.property_guidance", "tiny", {"order": "learned"})


@pytest.mark.parametrize(
    "model, name, words",
    [
        (
            MODEL,
            "fadg/10",
            r"method fadg needs a discriminator, which .* lacks; `genkit run molecules.discriminator_gui",
        ),
        (GUIDED, "both/2", r"method both needs a classifier, which .* lacks; `genkit run molecules.property_guidance`"),
        (MODEL, "cfg", "method cfg needs a classifier"),
        (MODEL, "tds/3", "method 'tds/3'; expected ardm, cfg, ardg"),
        (GUIDED, "fadg", "method 'fadg' needs a number of particles, as in fadg/10"),
        (GUIDED, "fadg/0", "'0' is no number of particles"),
        (GUIDED, "ardg/4", "ardg has one particle a sample"),
        (
            replace(GUIDED, generator=replace(MODEL, discrete=Discrete("flow"))),
            "fadg/4",
            "flow moves all sites at once",
        ),
    ],
)
def test_wrong_methods(model, name, words):
    with pytest.raises(UsageError, match=words):
        Method.named(name, model)


def test_what_cannot_be_guided_is_refused_before_training():
    for options, words in (
        ({"calls": 3}, "calls=3; guided is"),
        ({"generator": "digress", "discriminator_batch": 0}, "discriminator_batch=0 is too few"),
        ({"generator": "digress", "noise": "flow", "eta": -1.0}, "eta=-1; expected a probability"),
    ):
        with pytest.raises(UsageError, match=words):
            genkit.config("molecules.discriminator_guidance", "tiny", options)
    deaf = genkit.config("molecules.property_guidance", "tiny", {"network.dy": 1}).model  # such runs are there
    with pytest.raises(UsageError, match=r"dy=1 lets no property through .* --network.dy 64"):
        deaf.fit(None, DATA)
    with pytest.raises(UsageError, match="eta=3; expected a probability"):
        genkit.config("molecules.protein_ardm", "tiny", {"model": "remasked", "eta": 3.0})
    defaults: Any = {"remasked": 0.02, "flow": 0.0}
    for noise, eta in defaults.items():
        assert DiGress(noise=noise).discrete().eta == eta and DiGress(noise=noise, eta=0.5).discrete().eta == 0.5
    for domain, generator, name in (("property", "digress", "marginal"), ("protein", "masked", "masked")):
        with pytest.raises(UsageError, match=f"look_ahead weighs all values of the next site, and {name} moves all"):
            genkit.config(f"molecules.{domain}_guidance", "tiny", {"generator": generator, "look_ahead": True})
    data = Sequences("AC", np.zeros((3, 2), np.uint8), np.full(3, 2), np.zeros((0, 2), np.uint8), np.zeros(0, int))
    with pytest.raises(UsageError, match="knows C N O F; .* has A C"):
        MODEL.check(data)


def test_better_rewards_than_those_that_were_learned(monkeypatch):
    """Further training on them clips none: exp(reward - the largest of both training sets) is told."""
    x = np.array([[0, 0], [0, 1], [1, 1]], np.uint8)
    data = Sequences("AC", x, np.full(3, 2), np.zeros((0, 2), np.uint8), np.zeros(0, int))
    reward = {"AA": 1.0, "AC": 2.0, "CC": -np.inf}
    monkeypatch.setitem(sys.modules, "own", SimpleNamespace(good=lambda texts: [reward[text] for text in texts]))
    found: list[Any] = []
    monkeypatch.setattr(SteeredSequences, "generated_by", lambda self, run, data, start: found.append(data.told) or 1)
    run = SimpleNamespace(once=lambda name, f: f(), say=lambda text: None)
    for before, top in ((1.5, 2.0), (3.0, 3.0)):
        with pytest.raises(AttributeError):  # no model is trained here
            SteeredSequences(reward=("own:good",)).steered(run, data, Guided(MODEL, threshold=before))
        np.testing.assert_allclose(found[-1].train, np.exp(np.array([1.0, 2.0, -np.inf]) - top))


def test_cuts_are_of_any_order():
    assert sorted(some(list(range(9)), 9)) == list(range(9)) and some(list(range(9)), 9) != list(range(9))
    np.testing.assert_array_equal(some(np.arange(50), 7), some(list(range(50)), 7))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A guided model that was not trained, in a folder."""
    from genkit_molecules.networks.bytenet import ByteNet

    data = Sequences(
        "ACDK", np.zeros((8, 4), np.uint8), np.repeat([2, 4], 4), np.zeros((0, 4), np.uint8), np.zeros(0, int)
    )
    net, odds = (data.layout.net(ByteNet.preset("tiny"), kind) for kind in ("generator", "discriminator"))
    generator = Generator(data.layout, data.layout.denoiser(net, jax.jit(net.init)(KEY)), Discrete("ardm"))
    critic = Critic(data.layout.log_odds(odds, jax.jit(odds.init)(KEY)))
    model = Guided(generator, critic, replace(critic, prior=-1.0), "charge", 0.5, 0.2)
    return model.save(tmp_path_factory.mktemp("models") / "guided")


def test_files_of_sequences(folder, tmp_path, capsys):
    model = genkit.load_model(folder)
    assert request_of(model).__name__ == "Sequences" and model.threshold == 0.5
    common = ["sample", str(folder), "--n", "12", "--chunk", "8", "--property", "charge", "--method", "both/2"]
    for name in ("x.fasta", "x.csv", "x.npz"):
        assert main([*common, "--out", str(tmp_path / name)]) == 0
    assert "x.fasta: 12 samples" in capsys.readouterr().out
    letters = [line for line in (tmp_path / "x.fasta").read_text().split("\n") if line and line[0] != ">"]
    with (tmp_path / "x.csv").open() as file:
        table = list(csv.DictReader(file))
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert file["text"].tolist() == letters == [row["sequence"] for row in table]
        assert {len(text) for text in letters} == set(file["size"].tolist()) <= {2, 4}
    assert [float(row["charge"]) for row in table] == [text.count("K") - text.count("D") for text in letters]
    assert all(row["collapsed"] == "False" and float(row["ess"]) > 1 for row in table)
    for words, message in (
        (["--out", "x.smi"], "--out x.smi: expected a file that ends in .npz or .fasta or .csv"),
        (["--property", "weight"], "--property weight: the model steers to charge; `genkit run molecules.protein_guid"),
        (["--method", "tds/3"], "method 'tds/3'; expected ardm"),
    ):
        assert main(["sample", str(folder), *words, "--n", "2"]) == 2
        found = capsys.readouterr().err
        assert found.startswith(f"genkit: {message}") and found.count("\n") == 1


def test_files_of_molecules(tmp_path):
    texts, writers = ["CCO", "", "C1CC1"], request_of(MODEL).formats
    piece = {"text": np.array(texts), "size": np.array([3, 3, 3]), "log_z": np.zeros(3)}
    assert set(writers) == {".npz", ".smi", ".sdf", ".csv"}
    for ending in (".smi", ".sdf", ".csv"):
        writer = request_of(MODEL)().writer(tmp_path / f"m{ending}")
        writer.write(piece)
        writer.write(piece)
        assert writer.close() == "6 samples, 2 of them invalid"
    assert (tmp_path / "m.smi").read_text() == "CCO\n\nC1CC1\n" * 2
    assert (tmp_path / "m.sdf").read_text().count("$$$$") == 4
    lines = (tmp_path / "m.csv").read_text().split("\n")
    assert lines[0] == "smiles,size,logP,QED,TPSA,weight,rings,log_z" and len(lines) == 8
    assert lines[2] == ",3,,,,,,0.0" and lines[3].endswith(",1,0.0")


def test_a_property_needs_a_method_that_steers_to_it():
    steered = replace(GUIDED, classifier=GUIDED.discriminator, wanted="logP")
    request = request_of(steered)(property="logP", method="fadg/2")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="--property logP: fadg does not steer to it"):
        next(iter(request(steered, jax.random.key(0), 2)))


@pytest.mark.parametrize(
    "name, data, layers, epochs, batch, lr, test",
    [
        ("ardm", "", 7, 2000, 512, 1e-3, 0.25),
        ("ardm", "qm9_h", 7, 2000, 512, 1e-3, 0.25),
        ("ardm", "qm9", 9, 1000, 1024, 1e-3, 0.25),
        ("ardm", "moses", 12, 300, 256, 2e-4, 0.1),
        ("digress", "", 9, 1000, 1024, 2e-4, 0.25),
        ("digress", "qm9_h", 7, 2000, 512, 2e-4, 0.25),
        ("digress", "moses", 12, 300, 256, 2e-4, 0.1),
    ],
)
def test_the_published_trainings(name, data, layers, epochs, batch, lr, test):
    """Of Kelvinius and Lindsten 2024 (uniform order) and of DiGress, by the data set."""
    config: Any = genkit.config(f"molecules.{name}", "paper", {"data": data} if data else {})
    model = config.model
    assert (model.network.layers, model.epochs, model.batch, model.optimizer.lr) == (layers, epochs, batch, lr)
    assert config.data.test == test and config.data.hydrogen == (data == "qm9_h" or (name == "ardm" and not data))
    assert (model.optimizer.warmup, model.optimizer.schedule) == (0, "constant")


def test_the_published_discriminators():
    known: Any = {"qm9_h": (130_831, 2000, 512, 5e-5), "moses": (200_000, 300, 256, 4e-5)}
    for data, (generated, epochs, batch, lr) in known.items():
        config: Any = genkit.config("molecules.discriminator_guidance", "paper", {"data": data})
        m = config.model
        found = m.generated, m.discriminator_epochs, m.discriminator_batch, m.discriminator_optimizer.lr
        assert found == (generated, epochs, batch, lr) and m.generator.batch == {"qm9_h": 512, "moses": 256}[data]
    with pytest.raises(UsageError, match="discriminator_epochs=0"):
        genkit.config("molecules.discriminator_guidance", "tiny", {"discriminator_epochs": 0})
