"""What is held of items that are drawn, with exact laws; filters and rewards of samples."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rdkit import Chem

from genkit.errors import GenkitError, UsageError
from genkit.model import Critic, joined
from genkit.testing import discrete_denoiser, exact_law
from genkit_molecules import exact
from genkit_molecules.chemistry import pairs, smiles_of
from genkit_molecules.items import Graphs, Rows, Sequences
from genkit_molecules.items.data import Molecules
from genkit_molecules.models.constraints import motif, places
from genkit_molecules.models.discrete import Discrete
from genkit_molecules.models.draw import Method, drawn
from genkit_molecules.models.request import Molecules as Request
from genkit_molecules.models.request import Sequences as SequenceRequest
from genkit_molecules.models.trained import Generator, Guided
from genkit_molecules.rewards import reward_named
from genkit_molecules.target import target

KEY = jax.random.key(0)
TARGET = target(3)
LAYOUT = TARGET.layout
Q = np.exp(TARGET.log_q[TARGET.orbits.index].reshape((5,) * 6))[(slice(4),) * 6]  # of all labelled graphs


def model(which):
    """The law q, or its marginals alone with the exact ratio as discriminator."""
    of, log_p = TARGET.orbits, TARGET.log_q if which == "data" else TARGET.factorised
    generator = Generator(LAYOUT, exact.table(of, exact.conditionals(of, log_p)), Discrete("ardm"))
    return Guided(generator, Critic(exact.table(of, exact.log_ratio(TARGET.log_q, log_p))))


def check_law(x, known):
    """Rows (M, 6) have the law q given the known sites."""
    given = np.where(known < 4, known, 0), known < 4
    law = Q * np.all((np.indices(Q.shape).reshape(6, -1).T == given[0]) | ~given[1], axis=1).reshape(Q.shape)
    law = law.ravel() / law.sum()
    found = np.bincount(np.ravel_multi_index(x.T.astype(int), Q.shape), minlength=len(law))
    some = law > 0
    assert not found[~some].any() and some.sum() > 3
    far = ((found - len(x) * law)[some] ** 2 / (len(x) * law[some])).sum()
    assert far < some.sum() + 5 * (2 * some.sum()) ** 0.5


@pytest.mark.parametrize("which, method", [("data", "ardm"), ("marginals", "ardg"), ("marginals", "fadg/3")])
@pytest.mark.parametrize("pieces, composition", [(("CO",), ""), (("*C",), ""), ((), "C2O")])
def test_laws_on_the_lattice(which, method, pieces, composition):
    """Exactly those of the data given what is held, of an exact model and of a wrong one that is corrected."""
    guided, held = model(which), motif(LAYOUT, pieces, composition)
    found = joined(list(drawn(guided, KEY, 4000, Method.named(method, guided), 4000, constraint=held)))
    check_law(found["samples"], held.known(3))
    if composition:
        smiles = smiles_of(found["samples"], LAYOUT.elements)
        same = [
            s for s in smiles_of(TARGET.x, LAYOUT.elements) if s and sorted(c for c in s if c.isalpha()) == [*"CCO"]
        ]
        counts = np.array([smiles.count(s) for s in same])
        assert counts.sum() == 4000 and ((counts - 4000 / len(same)) ** 2).sum() < 4000 * 3


@pytest.mark.parametrize("name", ["ardm", "masked", "remasked"])
def test_letters_that_are_held(name):
    """The second of two tokens given the first: .5 / .6."""
    data = Sequences("AC", np.zeros((3, 2), np.uint8), np.full(3, 2), np.zeros((0, 2), np.uint8), np.zeros(0, int))
    generator = Generator(
        data.layout, discrete_denoiser(np.array([[0.5, 0.1], [0.15, 0.25]])), Discrete(name, steps=8, eta=0.3)
    )
    pieces = SequenceRequest(fix=("1:a",))(generator, KEY, 3000, 1000)
    x = np.concatenate([piece["samples"] for piece in pieces])
    assert not x[:, 0].any() and abs(x[:, 1].mean() - 1 / 6) < 4 * (5 / 36 / 3000) ** 0.5
    for words, message in (
        (("0:A",), "fix '0:A'; expected a place"), (("1:W",), "letters AC, not W"),
        (("1:A", "1:C"), "place 1 has two letters"), (("3:A",), "no item of a size that was learned .2. can be like"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            list(SequenceRequest(fix=words)(generator, KEY, 1))
    assert places("ACDE", ["2:CDE"]).known(5).tolist() == [4, 1, 2, 3, 4]


@jax.tree_util.Partial
def contradictory(x, t, cond: Any = None):
    """p(x1) = (.6, .4) and p(x2) = (.5, .5), with conditionals that do not go together."""
    second = jnp.log(jnp.array([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]]))[x[:, 0]]
    first = jnp.log(jnp.array([[0.5, 0.5], [0.2, 0.8], [0.6, 0.4]]))[x[:, 1]]
    return jnp.stack([first, second], 1)


def test_the_surest_site_first():
    data = Sequences("AC", np.zeros((3, 2), np.uint8), np.full(3, 2), np.zeros((0, 2), np.uint8), np.zeros(0, int))
    generator = Generator(data.layout, contradictory, Discrete("ardm"))
    for confident, law in ((True, [0.54, 0.06, 0.12, 0.28]), (False, [0.395, 0.08, 0.185, 0.34])):
        x = joined(list(SequenceRequest(confident=confident)(generator, KEY, 4000)))["samples"]
        share = np.bincount(x[:, 0] * 2 + x[:, 1], minlength=4) / 4000
        assert np.abs(share - law).max() < 4 * 0.5 / 4000**0.5
    with pytest.raises(UsageError, match="the surest site first needs a model with random orders"):
        list(SequenceRequest(confident=True)(replace(generator, discrete=Discrete("masked")), KEY, 10))


def bonds_of(row, n):
    found = np.zeros((n, n), int)
    found[tuple(pairs(n).T)] = row[n:]
    return found + found.T


def test_what_is_given_of_motifs():
    """Bonds of a part are held; beside an atom of any element the others are closed; pieces have no bond."""
    plain = motif(LAYOUT, ["C=O"]).known(3)
    assert plain.tolist() == [0, 2, 4, 2, 4, 4]
    row = motif(LAYOUT, ["*C=O"]).known(4)  # any element, C, O, another atom
    assert row[:4].tolist() == [4, 0, 2, 4]
    assert bonds_of(row, 4).tolist() == [[0, 1, 0, 4], [1, 0, 2, 0], [0, 2, 0, 0], [4, 0, 0, 0]]
    two = bonds_of(motif(LAYOUT, ["*O", "NC"]).known(5), 5)
    assert two[:3].tolist() == [[0, 1, 4, 4, 4], [1, 0, 0, 0, 0], [4, 0, 0, 1, 4]]
    ring = motif(LAYOUT, ["c1ccccc1"]).known(6)
    assert sorted(ring[6:].tolist()) == [0] * 9 + [1] * 3 + [2] * 3
    charged = Graphs(("C", "N+", "O-"), np.array([4]), np.array([1]), np.zeros((2, 4)))
    assert motif(charged, ["C[N+]"], "C2[N+]1").known(3).tolist() == [0, 1, 0, 1, 4, 4]
    for pieces, composition, message in (
        (["CS"], "", "CS has S; the model knows C N O F"),
        (["C1"], "", "'C1' is no SMILES"),
        (["CO"], "C2", "CO has more O than C2"),
        (["*O"], "C2O", "it leaves open"),
        ([], "C2H6", "knows C N O F, not H, hydrogen being implied"),
        ([], "c2", "composition 'c2'; expected elements and numbers, as C6N1"),
        ([], "C99999999999O", "has 100,000,000,000 atoms; expected at most 5,000"),
    ):
        with pytest.raises(UsageError, match=message):
            motif(LAYOUT, pieces, composition)


@jax.tree_util.Partial
def fluorine(x, t, cond: Any = None):
    """Carbon and fluorine, and single bonds or none, each with a half."""
    atoms = jnp.arange(x.shape[1]) < cond["mask"].shape[1]
    law = jnp.where(atoms[:, None], jnp.array([0.5, 0, 0, 0.5]), jnp.array([0.5, 0.5, 0, 0]))
    return jnp.broadcast_to(jnp.log(law), (*x.shape, 4))


FORMS = {
    "c1ccccc1": 2, "Cc1ccccc1C": 2, "c1ccc2ccccc2c1": 3, "c1ccc2ncccc2c1": 3, "c1cc[nH]c1": 1, "O=C1C=CC(=O)C=C1": 1,
    "c1ccc2c(c1)ccc1ccccc12": 5, "CC=CC": 1,
}  # fmt: skip


def test_kekule_forms():
    """All forms of a part have one SMILES and are different; each item has one of them with equal probability."""
    layout = Graphs(("C", "N", "O", "F"), np.array([9]), np.array([1]), np.ones((2, 4)))
    for part, count in FORMS.items():
        held = motif(layout, [part])
        known = [held.known(len(held.kinds), form) for form in range(held.forms)]
        assert held.forms == count == len(set(map(bytes, known))), part
        assert set(smiles_of(known, layout.elements)) == {Chem.CanonSmiles(part)}
    assert motif(layout, ["Cc1ccccc1C", "c1ccccc1"]).forms == 4
    coronene, phenylene = "c1cc2ccc3ccc4ccc5ccc6ccc1c7c2c3c4c5c67", "c1ccc(cc1)"
    two = motif(layout, [coronene, coronene])  # any of 20 forms with any
    assert two.forms == 400 == len({two.known(48, form).tobytes() for form in range(400)})
    assert motif(layout, [phenylene * 6]).forms == 64
    with pytest.raises(UsageError, match="has more than 100 Kekule forms; expected a smaller part"):
        motif(layout, [phenylene * 7])
    generator, held = Generator(layout, fluorine, Discrete("ardm")), motif(layout, ["Cc1ccccc1C"])
    x = joined(list(drawn(generator, KEY, 2000, Method("ardm"), 500, constraint=held)))["samples"]
    rows = np.array([held.known(9, form) for form in range(2)])
    which = (rows[:, None] == x).sum(2) == (rows < 4).sum(1)[:, None]  # (2, 2000)
    assert (which.sum(0) == 1).all() and abs(which[0].mean() - 0.5) < 4 * 0.5 / 2000**0.5
    for form in which:  # given the form the rest has the model's law: the last atom, and its eight bonds
        assert np.abs((x[form][:, rows[0] == 4] > 0).mean(0) - 0.5).max() < 4.5 * 0.5 / form.sum() ** 0.5
    parts = joined(list(drawn(generator, KEY, 300, Method("ardm"), 100, constraint=held)))["samples"]
    np.testing.assert_array_equal(x[:300], parts)


def test_models_that_cannot_be_held():
    from genkit_molecules.items.orders import order_named

    for discrete, message in (
        (Discrete("marginal"), "marginal noise changes sites and hides none"),
        (Discrete("ardm", order_named("nodes_edges")), "constraints need order=uniform"),
    ):
        with pytest.raises(UsageError, match=message):
            next(iter(Request(scaffold="C")(replace(model("data").generator, discrete=discrete), KEY, 1)))
    with pytest.raises(UsageError, match="no item of a size that was learned .3. can be like this"):
        next(iter(Request(composition="C5")(model("data").generator, KEY, 1)))
    with pytest.raises(UsageError, match="give one of them"):
        next(iter(Request(scaffold="C", link=("C", "O"))(model("data").generator, KEY, 1)))


@jax.tree_util.Partial
def carbon_and_nitrogen(x, t, cond: Any = None):
    """Atoms alike, bonds single or none."""
    atoms = jnp.arange(x.shape[1]) < cond["mask"].shape[1]
    law = jnp.where(atoms[:, None], jnp.array([0.5, 0.5, 0, 0]), jnp.array([0.5, 0.5, 0, 0]))
    return jnp.broadcast_to(jnp.log(law), (*x.shape, 4))


def test_filters_draw_on(tmp_path):
    """Until as many pass as were asked for, the same ones whatever the chunks; or say that they do not."""
    graphs = Rows(2, np.array([[0, 2, 1]], np.uint8)), Rows(3, np.array([[0, 0, 3, 1, 0, 1]] * 3, np.uint8))
    data = Molecules(("C", "N", "O", "F"), graphs, (), ("CO",) + ("CCF",) * 3, ())
    generator = Generator(data.layout, carbon_and_nitrogen, Discrete("ardm"))

    def texts(n, chunk=64, **options):
        found = joined(list(Request(**options)(generator, KEY, n, chunk)))
        assert len(found["text"]) == len(found["samples"]) == n and (np.diff(found["place"]) > 0).all()
        return found["text"].tolist()

    whole = texts(60, connected=True)
    assert not any("." in s for s in whole) and whole == texts(60, 100, connected=True)
    every = {
        Chem.CanonSmiles(s.format(*abc))
        for abc in set(permutations("CCCNNN", 3))
        for s in ("{}{}{}", "{}1{}{}1", "{}{}")
    }
    assert set(texts(13, connected=True, unique=True)) == every and len(every) == 13
    # as training changes them
    (tmp_path / "known.csv").write_text("id,mol\n1,C[NH3+].[Cl-]\n2,C(C)[13CH3]\n")
    rest = texts(11, connected=True, unique=True, novel=tmp_path / "known.csv", column="mol")
    assert set(rest) == every - {"CN", "CCC"}
    linked = texts(40, link=("C", "N"))
    query = Chem.MolFromSmarts("[C][*][N]")
    assert all(Chem.MolFromSmiles(s).HasSubstructMatch(query) for s in linked)
    with pytest.raises(GenkitError, match="13 of 1400 items that were drawn pass --unique --connected; lower --n 14"):
        texts(14, connected=True, unique=True)


def test_sequences_of_a_file(tmp_path):
    """As they are learned: insertions and a stop at the end are left out, gaps where the model has none."""
    (tmp_path / "x.a3m").write_text(">ss_pred\nCCCC\n>q\nA-CD\n>h\nAefCD*\n")
    for alphabet, known in (("ACDEF-", {"A-CD", "ACD-"}), ("ACDEF", {"ACD", "AEFCD"})):
        assert SequenceRequest().known(tmp_path / "x.a3m", SimpleNamespace(alphabet=alphabet)) == known


def one_letter(texts):
    """log q / p of the laws below."""
    return np.log([{"A": 0.4, "C": 1.0, "D": 2.5}[text] for text in texts])


def test_rewards_choose_among_candidates(monkeypatch):
    """The exact law of one of N by its weight: p = (.5, .3, .2), q = (.2, .3, .5), N = 1, 2, 4."""
    data = Sequences("ACD", np.zeros((3, 1), np.uint8), np.full(3, 1), np.zeros((0, 1), np.uint8), np.zeros(0, int))
    generator = Generator(data.layout, discrete_denoiser(np.array([0.5, 0.3, 0.2])), Discrete("ardm"))
    own = {"words": lambda texts: ["a" for _ in texts], "phases": lambda texts: [1j for _ in texts],
           "wrong": lambda texts: [1.0], "leaves": lambda texts: sys.exit(3)}  # fmt: skip
    monkeypatch.setitem(sys.modules, "own", SimpleNamespace(reward=one_letter, number=3, **own))
    p, w = np.array([0.5, 0.3, 0.2]), np.array([0.4, 1.0, 2.5])
    for many, law in ((1, (0.5, 0.3, 0.2)), (2, (0.363300, 0.338571, 0.298128)), (4, None)):
        request = SequenceRequest(reward=("own:reward",), candidates=many)
        found = joined(list(request(generator, KEY, 6000, 5000)))
        share = np.bincount(found["samples"][:, 0], minlength=3) / 6000
        if law:
            np.testing.assert_allclose(share, law, atol=4 * (0.25 / 6000) ** 0.5)
        else:
            assert abs(np.abs(share - [0.2, 0.3, 0.5]).sum() / 2 - 0.114198) < 0.02
        assert abs(np.exp(found["log_z"]).mean() - (p * w).sum()) < 0.05 and not found["collapsed"].any()
        np.testing.assert_allclose(found["reward"], one_letter(found["text"]))
    tempered = joined(list(SequenceRequest(reward=("own:reward",), candidates=50, strength=2.0)(generator, KEY, 2000)))
    target = p * w**2 / (p * w**2).sum()
    assert np.abs(np.bincount(tempered["samples"][:, 0]) / 2000 - target).sum() / 2 < 0.05
    for name, words in (
        ("logP", "expected module:function"), ("own:nothing", "reward own:nothing: "), ("own:number", "is a int"),
        ("own:wrong", r"gives shape \(1,\); expected \([23],\) numbers"), ("charge=1", "as logP=2.5:0.5"),
        ("mass=1:1", "property 'mass'; expected"), ("charge=1:0", "positive standard deviation"),
        ("nowhere_at:all", "No module named"), ("own:words", r"gives \['a'.*expected \([23],\) numbers"),
        ("own:phases", r"gives \[1j.*expected \([23],\) numbers"), ("own:leaves", "ends the process .exit 3."),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            list(SequenceRequest(reward=(name,))(generator, KEY, 1))


def test_known_rewards():
    assert reward_named("tanimoto=CCO", LAYOUT)(["OCC", "CCC"]) == pytest.approx([1.0, 1 / 3], abs=0.2)
    np.testing.assert_allclose(reward_named("weight=16.043:2", LAYOUT)(["C", "O"]), [0, -(1.972**2) / 8], atol=1e-3)
    found = joined(list(Request(reward=("rings=1:0.1", "tanimoto=C1CC1"), candidates=20)(model("data"), KEY, 60)))
    assert sum("1" in s for s in found["text"].tolist()) > 55  # a quarter of the molecules has a ring


def likes(texts):
    """Of texts with an A, or an oxygen."""
    return np.array([1.5 if set(text) & set("AO") else 0.0 if "N" in text else -0.5 for text in texts])


def check_weighed(pieces, law):
    """Groups of particles estimate p(x) exp(reward(x)), by name, without bias: their evidence times what they draw."""
    found = joined(list(pieces))
    z = np.exp(found["log_z"])
    often = [name for name, mean in law.items() if mean > 0.01]
    rest = list(law.keys() - set(often))
    for some in [*([name] for name in often), rest]:
        here, mean = z * np.isin(found["text"], some), sum(law[name] for name in some)
        assert abs(here.mean() - mean) < 4 * here.std() / len(z) ** 0.5 + 1e-9, (some, here.mean(), mean)
    assert abs(z.mean() - sum(law.values())) < 4 * z.std() / len(z) ** 0.5 + 1e-6
    whole = np.isin(found["text"], list(law))
    np.testing.assert_allclose(found["reward"], np.where(whole, likes(found["text"]), -np.inf))


@pytest.mark.parametrize("name", ["ardm", "masked"])
def test_rewards_inside_the_chain(name, monkeypatch):
    """Sequences of two letters: the exact law of the chain times exp(strength reward), of three particles."""
    monkeypatch.setitem(sys.modules, "own", SimpleNamespace(likes=likes, wrong=lambda texts: 1 / 0))
    q = np.array([[0.5, 0.1], [0.15, 0.25]])
    data = Sequences("AC", np.zeros((3, 2), np.uint8), np.full(3, 2), np.zeros((0, 2), np.uint8), np.zeros(0, int))
    generator = Generator(data.layout, discrete_denoiser(q), Discrete(name, steps=1))
    if name != "ardm":  # both sites at once
        q = np.outer(q.sum(1), q.sum(0))
    law = dict(
        zip(["AA", "AC", "CA", "CC"], (q.ravel() * np.exp(2 * 0.5 * likes(["AA", "AC", "CA", "CC"]))), strict=True)
    )
    ask = SequenceRequest(method="reward/3", reward=("0.5*own:likes", "0.5*own:likes"), strength=1.0)
    check_weighed(ask(generator, KEY, 3000), law)
    ahead = replace(ask, look_ahead=True)(generator, KEY, 3000)
    if name == "ardm":
        check_weighed(ahead, law)
    else:
        with pytest.raises(UsageError, match="FADG and ARDG weigh all values of one site"):
            list(ahead)
    with pytest.raises(UsageError, match=f"--look_ahead: {name} has no choice; classifier, discriminator, both, rew"):
        list(SequenceRequest(look_ahead=False)(generator, KEY, 10))
    with pytest.raises(ZeroDivisionError):
        list(SequenceRequest(method="reward/3", reward=("own:wrong",))(generator, KEY, 10))
    for method, reward, message in (
        ("reward/3", (), "method reward/3 needs a --reward"), ("reward", ("own:likes",), "needs a number of particles"),
        ("reward/3", ("x*own:likes",), "expected a finite weight other than 0"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            list(SequenceRequest(method=method, reward=reward)(generator, KEY, 10))


ONE_THREAD = """
import os
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
from types import SimpleNamespace
import jax, jax.numpy as jnp, numpy as np
from genkit_molecules.models.foresight import Wish
layout = SimpleNamespace(texts=lambda rows, sizes: [str(row[0]) for row in rows], whole=list)
wish = Wish(layout, lambda texts: np.array([float(text) for text in texts]))
later = jax.jit(lambda m: jax.lax.scan(lambda c, _: (c @ m * 1e-9, None), m, None, length=20)[0])
x = jnp.broadcast_to(jnp.arange(2500)[:, None] % 3, (2500, 12))
found = jax.jit(lambda x, m: wish.traced(x + (m[0, 0] > 1e30), jnp.full(len(x), 12)))(x, later(jnp.ones((500, 500))))
assert wish.error is None and (np.asarray(found) == np.arange(2500) % 3).all()
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be counted here")
def test_rewards_inside_the_chain_on_one_core():
    """A program with one thread, which waits for its inputs, is not waited for by the reward of many rows."""
    subprocess.run([sys.executable, "-c", ONE_THREAD], check=True, timeout=60)


@pytest.mark.parametrize("scaffold", ["", "CO"])
def test_rewards_inside_the_chain_on_the_lattice(scaffold, monkeypatch):
    """A model of which most graphs are no molecules: those have no weight, the others p(x) exp(reward(x))."""
    monkeypatch.setitem(sys.modules, "own", SimpleNamespace(likes=likes))
    generator, every = model("marginals").generator, np.indices((4,) * 6).reshape(6, -1).T
    log_p = TARGET.factorised[TARGET.orbits.index].reshape((5,) * 6)[(slice(4),) * 6].ravel()
    if scaffold:
        known = motif(LAYOUT, [scaffold]).known(3)
        log_p = np.where(((every == known) | (known == 4)).all(1), log_p, -np.inf)
    p = np.exp(log_p - np.log(np.exp(log_p).sum()))
    texts = np.array([s if s and "." not in s else "" for s in smiles_of(every, LAYOUT.elements)])
    law = {str(s): float(p[texts == s].sum() * np.exp(likes([str(s)])[0])) for s in np.unique(texts) if s}
    check_weighed(Request(method="reward/3", reward=("own:likes",), scaffold=scaffold)(generator, KEY, 3000), law)


@jax.tree_util.Partial
def of_letters(x, t, cond: Any = None):
    """log W of two letters; something wrong of hidden ones."""
    w = jnp.log(jnp.array([[0.4, 1.5, 3.0], [2.0, 0.5, 1.0], [0.7, 2.5, 1.0]]))
    return w[x[:, 0], x[:, 1]] + 0.3 * t


@pytest.mark.parametrize("name", ["remasked", "marginal"])
def test_guided_diffusion(name):
    """Of any chain particles estimate p(x) W(x), p being the law of the chain, without bias; cfg needs no particles."""
    data = Sequences(
        "AC", np.array([[0, 1]] * 2 + [[1, 1]], np.uint8), np.full(3, 2), np.zeros((0, 2), np.uint8), np.zeros(0, int)
    )
    discrete = Discrete(name, steps=3, eta=0.4)
    process = discrete.process(data.layout.space(2))
    denoiser = discrete_denoiser(np.array([[0.5, 0.1], [0.15, 0.25]]), process)
    with jax.enable_x64(True):
        model = discrete.sampler(data.layout.space(2)).model(denoiser, (process.states**2, 2))
        p = np.asarray(exact_law(model, 2, process.states))[:2, :2]
    generator = Generator(data.layout, denoiser, discrete)
    guided = Guided(generator, Critic(of_letters))
    found = joined(list(drawn(guided, KEY, 4000, Method.named("bsdg/3", guided), 4000)))
    z, x = np.exp(found["log_z"]), found["samples"]
    w = np.array([[0.4, 1.5], [2.0, 0.5]])
    for a in range(2):
        for b in range(2):
            here = z * ((x[:, 0] == a) & (x[:, 1] == b))
            assert abs(here.mean() - p[a, b] * w[a, b]) < 4 * here.std() / len(z) ** 0.5
