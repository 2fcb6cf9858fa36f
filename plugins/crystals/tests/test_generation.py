"""Arrays of crystals, the network, the loss, sampling, baselines, scores."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from genkit.chain import callable_tree
from genkit.discrete import Inpaint, sample
from genkit.errors import DataError, UsageError
from genkit.nn import Net, abstract, parameter_count, transfer
from genkit.testing import check_network
from genkit_crystals import baselines, evaluation
from genkit_crystals.chains.diffusion import (
    CrystalDenoiser,
    Objective,
    ancestral,
    even,
    generate,
    marginal_loss,
    process,
    restricted,
)
from genkit_crystals.chains.frequencies import Frequencies, RowFrequencies
from genkit_crystals.chains.guidance import LogOdds
from genkit_crystals.chains.layout import decode, encode, layout
from genkit_crystals.data import Crystals
from genkit_crystals.datasets.aflow_prototypes import AflowPrototypes, decorations, originals
from genkit_crystals.models import encoder
from genkit_crystals.networks.wrenformer import TokenSizes, Wrenformer, feature_tables, features, tokens
from genkit_crystals.networks.wyckoff_gnn import Affinity, Layer, Pointer, Sizes, WyckoffGNN, _waves, silent
from genkit_crystals.protostructures.elements import numbers
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.structures import protostructure
from genkit_crystals.protostructures.symmetry import settled
from genkit_crystals.protostructures.wyckoff import tables

T, GROUPS = 6, (1, 62, 225, 221)
LABELS = ["AB_cF8_225_a_b:Cl-Na", "A3BC_cP5_221_c_a_b:O-Sr-Ti", "AB3C_oP20_62_c_cd_a:Ca-O-Ti", "A2B_aP6_1_4a_2a:O-Si"]


def crystals():
    return [Protostructure.from_label(label) for label in LABELS]


@cache
def model():
    """(slots, arrays, frequencies, processes, denoiser), the network of all parts silent: only the prior speaks."""
    slots = layout(GROUPS)
    data = encode(crystals(), slots, 5)
    frequencies = Frequencies.of(data, slots, 5)
    net = Net(WyckoffGNN.preset("tiny"), (Sizes(T, 5),))
    denoiser = CrystalDenoiser(
        net, silent(jax.jit(net.init)(jax.random.key(0))), slots, RowFrequencies.of(crystals(), slots, 5).log()
    )
    return slots, data, frequencies, process("marginal", T, frequencies), denoiser


def random_crystals(rng, groups):
    for group in groups:
        orbits = {}
        for row in rng.integers(tables().rows[group], size=4):
            fixed = tables().dof[group, row] == 0
            orbits[int(row)] = (int(row), int(rng.integers(1, 101)), 1 if fixed else int(rng.integers(1, 4)))
        yield Protostructure.of(group, orbits.values())


def test_arrays_hold_crystals_of_all_groups():
    rng = np.random.default_rng(0)
    some, slots = list(random_crystals(rng, range(1, 231))), layout()
    data = encode(some, slots, 4)
    assert decode(data.group, (data.x0, data.x1), slots) == some
    t = tables()
    n0, n1 = slots.sites(data.group)
    assert (n0 == t.fixed.sum(1)[1:]).all() and (n1 == 100 * (t.rows[1:] - n0)).all()
    at = np.arange(1, 231)
    assert (np.asarray(slots.every.real)[at] == t.exists[at]).all()
    both = np.concatenate([np.where(p.real, p.row, -1)[at] for p in (slots.fixed, slots.free)], 1)
    gathered = np.take_along_axis(both, np.asarray(slots.slot)[at], 1)
    assert (gathered == np.where(t.exists[at], np.arange(27), gathered)).all()
    # relabelled arrays are those of images, and of all images
    moved = slots.relabelled(jax.random.key(0), data.group, (jnp.asarray(data.x0), jnp.asarray(data.x1)))
    assert all(a in b.images() for a, b in zip(decode(data.group, moved, slots), some, strict=True))
    many = np.full(400, 225)
    one = encode([crystals()[0]] * 400, slots)
    found = slots.relabelled(jax.random.key(0), many, (jnp.asarray(one.x0), jnp.asarray(one.x1)))
    share = np.mean([c == crystals()[0].images()[0] for c in decode(many, found, slots)])
    assert abs(share - 0.5) < 4 * 0.5 / 400**0.5


def test_what_does_not_fit_the_arrays_is_refused():
    with pytest.raises(DataError, match="space group 225 is not among"):
        encode(crystals()[:1], layout([1]))
    with pytest.raises(DataError, match="at most 3"):
        encode(crystals(), layout(GROUPS), 4)


def test_published_sizes():
    _, params = abstract(lambda rngs: WyckoffGNN.preset("paper").build(rngs, Sizes(1000, 55)))
    assert parameter_count(params) == 9_575_083
    assert parameter_count(params["layers"]) == 5_312_931
    assert (parameter_count(params["elements_out"]), parameter_count(params["counts_out"])) == (708_709, 3_478_396)
    _, params = abstract(lambda rngs: Wrenformer.preset("paper").build(rngs, TokenSizes(645)))
    assert parameter_count(params) == 5_166_658


@pytest.mark.parametrize("outputs", [None, 2])
def test_arithmetic(outputs):
    slots = layout(GROUPS)
    data = encode(crystals(), slots, 5)
    network = replace(WyckoffGNN.preset("tiny"), layers=2, affinity=4)
    x, group = (jnp.asarray(data.x0, int), jnp.asarray(data.x1, int)), jnp.asarray(data.group)
    check_network(network, (Sizes(T, 5, outputs),), x, slots, group, jnp.arange(len(group)))


def test_arithmetic_of_the_encoder():
    rng = np.random.default_rng(0)
    tokens = jnp.asarray(rng.standard_normal((3, 2, 4, 7)), jnp.float32)
    check_network(Wrenformer(16, 2, 2, 16), (TokenSizes(7),), tokens, jnp.asarray(rng.random((3, 2, 4)) < 0.8))


def test_attention_is_that_of_the_complete_graph_and_commutes_with_permutations():
    rng = np.random.default_rng(0)
    layer = Layer(6, 3, nnx.Rngs(0))
    h, c = (jnp.asarray(rng.normal(size=(2, 5, k)), jnp.float32) for k in (6, 3))
    real = jnp.array([[True] * 5, [True] * 3 + [False] * 2])
    out = layer(h, c, real)
    z = jnp.concatenate([h, c], -1)
    pairs = jnp.concatenate([jnp.repeat(z[:, :, None], 5, 2), jnp.repeat(z[:, None], 5, 1)], -1)
    scores = jnp.where(real[:, None], layer.scores(pairs)[..., 0], -jnp.inf)
    plain = jax.nn.silu(h + jax.nn.softmax(scores, -1) @ layer.values(z))
    np.testing.assert_allclose(out, plain, rtol=1e-5, atol=1e-5)
    p = rng.permutation(5)
    np.testing.assert_allclose(layer(h[:, p], c[:, p], real[:, p]), out[:, p], rtol=1e-5, atol=1e-5)
    hidden = h.at[1, 3:].add(100.0)
    np.testing.assert_allclose(layer(hidden, c, real)[1, :3], out[1, :3], atol=1e-5)


def test_waves_of_the_step_are_from_8_to_four_times_all():
    waves, step = _waves(jax.random.key(0), (16, 5)), np.arange(16)
    for channel, wavelength in ((0, 8), (2, 8 * 8**0.5), (4, 64)):
        expected = 2**0.5 * np.sin(2 * np.pi * step / wavelength)
        np.testing.assert_allclose(waves[:, channel], expected, atol=1e-5)
    np.testing.assert_allclose(waves[:, 1], 2**0.5 * np.cos(2 * np.pi * step / 8), atol=1e-5)


def test_pointer_treats_all_elements_alike():
    """Gates of one half count rows by half; elements may be renamed; rows that are not there say nothing."""
    rng = np.random.default_rng(0)
    net = Pointer(5, 2, (1, 4), nnx.Rngs(0))
    z = jnp.asarray(rng.normal(size=(3, 6, 5)), jnp.float32)
    present = jnp.asarray(rng.random((3, 6, 7)) < 0.3, jnp.float32)
    order = rng.permutation(7)
    out = net(z, present)
    np.testing.assert_allclose(net(z, present[..., order]), out[:, :, order], rtol=1e-5, atol=1e-6)
    net.query.kernel[...] *= 0  # and its bias is 0
    half = 0.5 * present.sum(1)[:, None, :, None] * jnp.ones((1, 6, 1, 2))
    plain = jax.nn.silu(net.elsewhere(half) + net.row(z)[:, :, None])
    np.testing.assert_allclose(net(z, present), plain, rtol=1e-5, atol=1e-6)


def test_affinity_has_its_rank_knows_the_set_alone_and_shares_columns():
    rng = np.random.default_rng(0)
    net = Affinity(5, 3, 8, nnx.Rngs(0), 1)
    z = jnp.asarray(rng.normal(size=(2, 6, 5)), jnp.float32)
    present = jnp.asarray(rng.random((2, 6, 100)) < 0.03, jnp.float32)
    out = net(z, present)
    assert out.shape == (2, 6, 100) and np.linalg.matrix_rank(out[0], tol=1e-4) == 3
    moved = present[:, rng.permutation(6)].at[:, 1].max(present[:, 0])  # elsewhere, and on more rows
    np.testing.assert_allclose(net(z, jnp.maximum(moved, present[:, ::-1])), out, rtol=1e-5, atol=1e-5)
    assert abs(net(z, present.at[0, 0, 7].set(1 - present[0, :, 7].max()))[0] - out[0]).max() > 1e-3
    for part in ("element", "period"):
        net.asked[part].embedding[...] *= 0
    sodium, magnesium, potassium = (net(z, present)[..., n - 1] for n in (11, 12, 19))
    np.testing.assert_allclose(sodium, potassium, rtol=1e-5)
    assert abs(sodium - magnesium).max() > 1e-3


def test_a_critic_sees_all_rows_of_a_crystal_and_no_others():
    """Its answer does not depend on the layout; it begins as the generator; two sites changed change it."""
    size, some = WyckoffGNN.preset("tiny"), crystals()
    shapes = Net(size, (Sizes(T + 1, 5),)).shapes()
    rng, critic = np.random.default_rng(0), Net(size, (Sizes(T + 1, 5, 1),))
    generator = jax.tree.map(lambda s: 0.3 * rng.standard_normal(s.shape, np.float32), shapes)
    params = transfer(generator, jax.jit(critic.init)(jax.random.key(1)))
    np.testing.assert_array_equal(params["element"]["embedding"], generator["element"]["embedding"])
    last = params["out"]["layers"][max(params["out"]["layers"])]
    assert not last["kernel"].any()  # without an opinion
    last["kernel"] = jax.random.normal(jax.random.key(0), last["kernel"].shape)
    say = jax.jit(lambda slots, data: LogOdds(critic, params, slots)(data["x"], jnp.float32(2), data["group"]))
    answers = [say(slots, encode(some, slots, 5)[:]) for slots in (layout(GROUPS), layout())]
    np.testing.assert_allclose(*answers, rtol=2e-4, atol=1e-5)
    other = [Protostructure.from_label(label.replace("O-", "S-")) for label in LABELS]
    changed = say(layout(), encode(other, layout(), 5)[:])
    assert abs(changed[1] - answers[1][1]) > 1e-3


def test_loss_of_equal_logits():
    values = {225: 4.010357, 47: 4.009882, 1: 4.007333, 227: 4.012157, 62: 4.013351}
    groups, slots = np.array(list(values)), layout(values)
    frequencies = Frequencies(np.ones(101) / 101, np.ones(55) / 55)

    def equal(params, x, slots, group, step):
        return jnp.zeros((*x[0].shape, 101)), jnp.zeros((*x[1].shape, 55))

    batch = {"group": groups, "x": tuple(jnp.zeros(s, int) for s in slots.shape(5))}
    processes = process("uniform", 4, frequencies, likelihood=False)
    loss = jax.jit(lambda key: Objective("ce")(key, CrystalDenoiser(equal, None, slots), batch, processes)[0])
    assert float(loss(jax.random.key(0))) == pytest.approx(np.mean(list(values.values())), abs=5e-6)
    for group, value in values.items():
        assert marginal_loss(frequencies, slots.sites(np.array([group]))) == pytest.approx(value, abs=1e-6)


def test_losses_agree():
    slots, data, frequencies, processes, denoiser = model()
    batch, kinds = data[np.arange(len(data))], ("ce", "kl", "hybrid")
    every = jax.jit(lambda key: [Objective(k, weight=0.5)(key, denoiser, batch, processes)[0] for k in kinds])
    ce, kl, hybrid = every(jax.random.key(1))
    assert hybrid == pytest.approx(float(kl + 0.5 * ce), rel=1e-5)
    # the network knows the frequencies, and its likelihood the rest: better than the frequencies alone
    assert 0 < ce < 1.5 * marginal_loss(frequencies, slots.sites(data.group))


def test_samples_keep_given_sites_and_have_the_elements_asked_for():
    slots, data, _, processes, denoiser = model()
    group = np.full(20, 221)
    known = tuple(jnp.asarray(a[1]) for a in (data.x0, data.x1))  # SrTiO3, of which strontium is given
    held = Inpaint(ancestral(processes), known, (known[0] == 38, known[1] < 0))
    some = callable_tree(restricted(denoiser, [8, 22, 38]))
    x = sample(jax.random.key(0), held, some, slots.shape(20), group, mask=slots.mask(group))
    found = decode(group, x, slots)
    assert all((0, 38, 1) in one.orbits and set(one.composition) <= {8, 22, 38} for one in found)
    assert len({one.label for one in found}) > 1
    with pytest.raises(UsageError, match="at least one"):
        restricted(denoiser, [])


def test_a_crystal_does_not_depend_on_the_chunks():
    assert [even(133, 128), even(256, 128), even(5, 128), even(7, 3)] == [67, 128, 5, 3]
    _, _, _, processes, denoiser = model()
    groups = np.resize(GROUPS, 7)
    drawn = [generate(jax.random.key(0), denoiser, ancestral(processes, 2), groups, batch, ()) for batch in (3, 7)]
    assert drawn[0] == drawn[1] and len(drawn[0].full) > 2


def test_a_row_is_occupied_as_often_by_fewer_elements():
    slots, data, _, _, denoiser = model()
    x, group = (jnp.asarray(data.x0), jnp.asarray(data.x1)), jnp.asarray(data.group)
    some = np.isin(np.arange(1, 101), [8, 22, 38])
    call = jax.jit(lambda d: d(x, jnp.ones(len(group)), group))
    each = denoiser, restricted(denoiser, [8, 22, 38]), restricted(denoiser, range(1, 101))
    every, few, same = (jax.device_get(call(d)) for d in each)
    before, after = (np.exp(d[0] - d[0][..., :1])[..., 1:] for d in (every, few))  # odds against an empty row
    np.testing.assert_allclose(after.sum(-1), before.sum(-1), rtol=1e-4)
    np.testing.assert_allclose(
        after, before * some * (before.sum(-1) / before[..., some].sum(-1))[..., None], rtol=1e-4
    )
    before, after = (np.exp(d[1] - d[1][..., :1])[..., 1:] for d in (every, few))  # by element and count
    np.testing.assert_allclose(after.sum((-1, -2)), before.sum((-1, -2)), rtol=1e-4)
    assert not after[..., ~some, :].any()
    np.testing.assert_allclose(after[..., 7, 1] / after[..., 7, 0], before[..., 7, 1] / before[..., 7, 0], rtol=1e-4)
    for one, other in zip(same, every, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_frequencies_by_row():
    """Of each group one crystal: its images share its weight; what is added is spread as over all rows."""
    slots, data, _, _, denoiser = model()
    rows = RowFrequencies.of(crystals(), slots, 5)
    assert rows.crystals[225] == pytest.approx(1) and rows.crystals.sum() == pytest.approx(4)
    np.testing.assert_allclose(rows.x0[225, :2, [0, 11, 17]], [[0, 0], [0.5, 0.5], [0.5, 0.5]])  # Na and Cl on a or b
    np.testing.assert_allclose(rows.x1[1, 0, [7, 13, 25]], [[0, 0, 0, 0, 1], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0]])
    assert rows.x0[62].sum() == pytest.approx(2)  # a and b, each empty or not
    x = jnp.asarray(data.x0), jnp.asarray(data.x1)
    logits = jax.jit(lambda d: d(x, jnp.ones(len(data)), jnp.asarray(data.group)))(denoiser)
    parts = (rows.x0, 225, slots.fixed), (rows.x1, 1, slots.free)
    for (exact, group, part), smooth, said in zip(parts, rows.log(1.0), logits, strict=True):
        np.testing.assert_allclose(np.exp(smooth).sum(-1), 1, rtol=1e-5)
        every = exact.sum((0, 1)) + 0.5 / exact.shape[-1]
        every /= every.sum(-1, keepdims=True)
        np.testing.assert_allclose(np.exp(smooth[group, 0]), (exact[group, 0] + every) / 2, rtol=1e-4)
        row = np.asarray(part.row)[data.group]
        np.testing.assert_allclose(said, smooth[data.group[:, None], row], rtol=1e-6)  # the network is silent


def test_true_symmetry():
    """Real crystals keep their group; sites that hold more get the larger one."""
    for one in originals()[::12]:
        assert settled(one) == one, one.label
    for drawn, true in {
        "A_cP1_215_a:N": "A_cP1_221_a:N",
        "A_cF8_216_ac:Bi": "A_cF8_227_a:Bi",
        "A_oI2_44_a:Sn": "A_oI2_71_a:Sn",
        "AB3_hP8_182_a_g:B-Pb": "AB3_hP8_193_a_g:B-Pb",
        "A_aP1_1_a:Si": "A_aP1_2_a:Si",
    }.items():
        assert settled(Protostructure.from_label(drawn)).label == true
    many = Protostructure.of(1, [(0, 14, 401)])
    assert settled(many) is many  # too many atoms to look


def test_baselines():
    rng, real = np.random.default_rng(0), crystals()
    slots, _, frequencies, *_ = model()
    groups = np.repeat([c.group for c in real], 50)
    drawn = baselines.tables(rng, groups, slots, RowFrequencies.of(real, slots, 5)).full
    # one crystal a group without relabelling of a free row: every draw is an image's values
    assert {c.label for c in drawn if c.group == 1} == {LABELS[3]}
    some = baselines.templates(rng, groups, real).full
    assert {c.prototype for c in some} == {c.prototype for c in real} and len({c.label for c in some}) > 50
    marginal = baselines.marginals(rng, groups, slots, frequencies)
    x0 = encode(marginal.full, slots).x0[np.array([c.group for c in marginal.full]) == 225][:, :4]
    assert abs((x0 == 0).mean() - frequencies.x0[0]) < 0.25


def test_decorated_prototypes():
    found = originals()
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    assert found == sorted({protostructure(one["snl"].structure) for one in AFLOW_PROTOTYPE_LIBRARY})
    assert len(found) == 287 and len({c.prototype for c in found}) == 269
    salt = next(c for c in found if c.label == "AB_cF8_225_a_b:Cl-Na")
    # 7 alkali metals and hydrogen's column by 5 halogens
    assert {c.prototype for c in decorations(salt)} == {"AB_cF8_225_a_b"}
    data = AflowPrototypes(orbits=99).load()
    assert len(data) == 8655 and len(AflowPrototypes().load()) == 8604
    train, held = data.split(100)
    assert len(held) == 100 and not {c.label for c in train.crystals} & {c.label for c in held.crystals}


def test_scores():
    real = crystals()
    found = [real[0], real[0], real[1].with_elements({8: 16, 38: 20, 22: 40}), Protostructure.of(1, [(0, 29, 1)])]
    scores = evaluation.scores(found, 5, real, real)
    assert scores["validity"] == 0.8 and scores["uniqueness"] == 0.75
    assert scores["novelty/label"] == 0.5 and scores["novelty/prototype"] == 0.25
    assert scores["novel_prototypes"] == 200 and scores["few_species"] == 0.75
    # atoms 8, 8, 5, 1 and 8, 5, 20, 6, sorted: |1 - 5| + |5 - 6| + 0 + |8 - 20| over 4
    assert scores["atoms_w1"] == pytest.approx(17 / 4)
    assert scores["group_tv"] == pytest.approx(0.25) and scores["neutral"] == 1.0
    assert evaluation.scores([], 5, real, real) == {"validity": 0.0}
    assert not evaluation.neutral(Protostructure.from_label("AB_cF8_225_a_b:F-O"))
    x = evaluation.descriptors(real)
    same = evaluation.frechet({"same": x}, {"same": np.arange(len(x))}, x, rounds=1)["same"]
    # roots of eigenvalues that are zero but for rounding: sqrt(1e-16) of their sum
    assert np.isfinite(x).all() and same[0] == pytest.approx(0, abs=1e-7 * x.var(0).sum())


def test_ratios_of_distances_have_paired_intervals():
    """Laws N(0, s^2 I) are (s - 1)^2 d from N(0, I); the interval has the ratio as often as it says, and is narrow
    where the sets share what is drawn. Distances are too large, as n is small.
    """
    rng, n, d = np.random.default_rng(0), 200, 16
    real = rng.normal(size=(2000, d))
    real = (real - real.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(real.T))).T  # N(0, I) exactly
    inside, widths, ones = 0, [], []
    for seed in range(40):
        x, y = rng.normal(size=(2, n, d))
        sets = {"x": 1.25 * x, "paired": 1.2 * x, "y": 1.2 * y}
        found = evaluation.frechet(sets, dict.fromkeys(sets, np.arange(n)), real, 100, seed)
        one, low, high = evaluation.ratio(found["y"], found["x"])
        inside += low < (0.2 / 0.25) ** 2 < high
        ones.append((one, found["y"][0] / found["x"][0]))
        _, least, most = evaluation.ratio(found["paired"], found["x"])
        widths.append((most - least, high - low))
    assert inside >= 34  # of 38 with a standard deviation of 1.4
    corrected, plain = np.median(ones, 0)
    assert corrected == pytest.approx(0.64, abs=0.05) and plain > 0.71
    assert np.mean(widths, 0)[0] < np.mean(widths, 0)[1] / 3
    assert evaluation.ratio(np.full(9, -1e-15), found["x"][:9]) == (None, None, None)
    few = evaluation.frechet({"x": real[:2]}, {"x": np.array([0, 9])}, real, 50)["x"]
    assert np.isfinite(few[0]) and np.isnan(few).any()  # rounds that draw one of two rows have no covariance


def test_the_encoder_knows_no_order_and_no_choice_of_origin():
    network = Wrenformer(8, 1, 2, 8).build(nnx.Rngs(0), TokenSizes(1 + sum(t.shape[-1] for t in feature_tables())))
    salt = Protostructure.from_label("AB_cF8_216_a_c:S-Zn")
    assert len(salt.images()) == 8
    embed = jax.jit(lambda b: network.embedding(*features(b, feature_tables())))
    every = [embed(tokens([one], 5, images=8).take(slice(None))) for one in (salt, salt.images()[3])]
    np.testing.assert_allclose(*every, atol=1e-5)
    one = tokens([salt], 5).take(slice(None))
    turned = {k: v[..., ::-1] if v.ndim == 3 else v for k, v in one.items()}
    np.testing.assert_allclose(embed(one), embed(turned), atol=1e-5)
    assert numbers()["Zn"] in one["element"]


def test_what_the_encoder_learns_and_says_is_in_the_units_of_the_data(monkeypatch):
    """It learns energies of mean 0 and deviation 1, and a network that says 0 says the mean."""
    seen = {}

    def learned(run, name, loss, params, examples, *rest, **options):
        seen["goals"] = examples.goals
        return jax.tree.map(jnp.zeros_like, params(jax.random.key(0)))

    monkeypatch.setattr(encoder, "learn", learned)
    energies = np.array([-3.0, -1.0, -2.5, 0.5])
    data = Crystals(tuple(crystals()), {"energy": energies})
    run = SimpleNamespace(root=SimpleNamespace(part=lambda _: SimpleNamespace()))
    trained = encoder.WrenformerEncoder(network=Wrenformer(8, 1, 2, 8)).fit(run, data)
    np.testing.assert_allclose(seen["goals"][:, 0], (energies - energies.mean()) / energies.std(), rtol=1e-5)
    np.testing.assert_allclose(trained.energies(data.crystals), energies.mean(), rtol=1e-5)
