"""Losses, regularisers and the report of collapse against closed forms."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.special import gammaln, ive

from genkit.errors import DataError, GenkitError, UsageError
from genkit_representations.prototypes import (
    Output,
    apart,
    collapse,
    distillation,
    entropy,
    groups,
    koleo,
    log_constant,
    masked_patches,
    me_max,
    moved,
    neighbours,
    objective,
    prototypes_of,
    read_prototypes,
    sinkhorn,
)
from genkit_representations.prototypes.files import network_of

METHODS = ("centering", "sinkhorn", "swav", "me_max", "vmf", "ibot", "dinov2")
RNG = np.random.default_rng(0)


def simplex(k):
    return (np.eye(k) - 1 / k).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# KoLeo


def test_koleo():
    """Orthonormal vectors, a regular simplex, antipodes, copies; scale does not matter; fewer than two give 0."""
    assert koleo(jnp.eye(8)) == pytest.approx(-0.5 * math.log(2), abs=1e-6)
    assert koleo(3 * simplex(8)) == pytest.approx(-0.5 * math.log(16 / 7), abs=1e-6)
    assert koleo(jnp.array([[1.0, 0], [-1.0, 0]])) == pytest.approx(-math.log(2), abs=1e-6)
    assert koleo(jnp.ones((4, 3))) == pytest.approx(-math.log(1e-8), rel=1e-5)
    assert koleo(jnp.ones((1, 3))) == 0
    assert koleo(jnp.eye(8, dtype=jnp.bfloat16)).dtype == jnp.float32
    with pytest.raises(UsageError, match="groups=3"):
        koleo(jnp.eye(8), groups=3)


def test_koleo_topk_and_groups():
    """Mean over the two nearest; groups see only themselves."""
    x = jnp.array([[1.0, 0], [math.cos(0.1), math.sin(0.1)], [math.cos(0.4), math.sin(0.4)]])
    chord = lambda angle: math.log(2 * math.sin(angle / 2))  # noqa: E731
    known = -(chord(0.1) + chord(0.4) + chord(0.1) + chord(0.3) + chord(0.4) + chord(0.3)) / 6
    assert koleo(x, topk=2) == pytest.approx(known, rel=1e-5)
    pairs = jnp.concatenate([x[:2], x[1:]])
    assert koleo(pairs, groups=2) == pytest.approx(-(chord(0.1) + chord(0.3)) / 2, rel=1e-5)


def test_neighbours_in_blocks(monkeypatch):
    x = jnp.asarray(RNG.standard_normal((50, 4)), jnp.float32)
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    whole = neighbours(x, 2)
    monkeypatch.setattr("genkit_representations.prototypes.spread.ROWS", 16)
    np.testing.assert_array_equal(neighbours(x, 2), whole)
    known = np.argsort(-(np.asarray(x @ x.T) - 3 * np.eye(50)), 1)[:, :2]
    np.testing.assert_array_equal(whole, known)


def test_koleo_spreads_collapsed_prototypes():
    """128 prototypes in 16 directions: descent on the regulariser alone makes all of them different."""
    directions = RNG.standard_normal((16, 16))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    w = np.repeat(directions, 8, 0) + 1e-3 * RNG.standard_normal((128, 16))
    w = jnp.asarray(w / np.linalg.norm(w, axis=1, keepdims=True), jnp.float32)

    def step(w, _):
        value, grad = jax.value_and_grad(koleo)(w)
        w = w - grad / jnp.maximum(jnp.linalg.norm(grad), 1.0)
        return w / jnp.linalg.norm(w, axis=1, keepdims=True), (value, w)

    _, (values, path) = jax.jit(lambda w: jax.lax.scan(step, w, length=501))(w)
    assert collapse(w).unique == 16 and collapse(path[9]).unique == 128
    assert values[0] > 2 and values[100] == pytest.approx(-0.10, abs=0.03) and values[500] < values[100] - 0.05


def test_equal_prototypes_have_no_gradient_until_they_are_taken_apart():
    w = jnp.concatenate([jnp.eye(4), jnp.eye(4)[:1]])
    grad = jax.grad(koleo)(w)
    assert jnp.isfinite(grad).all() and jnp.all(grad[4] == 0) and jnp.any(grad[1] != 0)  # nobody's neighbour but one's
    moved_apart = apart(jax.random.key(0), w)
    np.testing.assert_array_equal(moved_apart[1:4], w[1:4])
    assert 1e-6 < jnp.linalg.norm(moved_apart[0] - moved_apart[4]) < 1e-3


# losses


def test_losses_do_not_see_copies():
    """With every prototype r times the cross-entropy rises by log r, and the entropy's distance from log K stays."""
    k, r = 6, 4
    student, teacher = RNG.standard_normal((3, 8, k)), RNG.standard_normal((2, 8, k))
    copies = lambda x: np.repeat(x, r, -1)  # noqa: E731
    p, log_q = softmax(teacher), jnp.log(softmax(student))
    more, log_more = softmax(copies(teacher)), jnp.log(softmax(copies(student)))
    assert distillation(more, log_more) - distillation(p, log_q) == pytest.approx(math.log(r), rel=1e-5)
    assert me_max(more) == pytest.approx(float(me_max(p)), abs=1e-6)
    w = RNG.standard_normal((k, 5))
    assert collapse(np.repeat(w, r, 0)).unique == collapse(w).unique == k
    assert koleo(jnp.asarray(np.repeat(w, r, 0))) == pytest.approx(-math.log(1e-8), rel=1e-4)


def test_the_shortcut():
    """Masses 1/2, 1/4, 1/4 look even over four prototypes when that of the large cluster is there twice."""
    hard = np.zeros((4, 4), np.float32)
    hard[[0, 1, 2, 3], [0, 1, 2, 3]] = 1  # the first two samples are of one cluster, whose prototypes take one each
    assert me_max(hard) == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose(sinkhorn(jnp.log(hard + 1e-30)), hard, atol=1e-5)
    w = np.eye(4)[[0, 0, 1, 2]]
    report = collapse(w, hard)
    assert (report.unique, report.used, report.redundancy) == (3, 4, {1: 2, 2: 1})
    assert report.entropy == pytest.approx(1) and report.redundant == pytest.approx(0.5) and report.share == 0.75


def test_pairs_of_views():
    """No view is its own target, unless the teacher's views are not the student's."""
    log_q, p = np.log(softmax(RNG.standard_normal((4, 5, 7)))), softmax(RNG.standard_normal((2, 5, 7)))
    each = -(p[:, None] * log_q[None]).sum(-1).mean(-1)
    apart_from_own = [each[q, v] for q in range(2) for v in range(4) if q != v]
    assert len(apart_from_own) == 2 * (4 - 1)
    assert distillation(p, log_q) == pytest.approx(np.mean(apart_from_own), rel=1e-5)
    assert distillation(p, log_q, same=False) == pytest.approx(each.mean(), rel=1e-5)


def test_masked_patches():
    """A mean over the masked patches of an image, then over images, of which one has none."""
    p, log_q = softmax(RNG.standard_normal((2, 3, 5))), np.log(softmax(RNG.standard_normal((2, 3, 5))))
    mask = np.array([[True, False, True], [False, False, False]])
    each = -(p * log_q).sum(-1)
    assert masked_patches(p, log_q, mask) == pytest.approx((each[0, 0] + each[0, 2]) / 2 / 2, rel=1e-5)


def test_sinkhorn():
    """Rows sum to 1, columns to B / K in the end, equal rows give 1 / K, a constant changes nothing; as in DINOv2."""
    logits = jnp.asarray(RNG.standard_normal((40, 8)), jnp.float32) / 0.5
    np.testing.assert_allclose(sinkhorn(logits).sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(sinkhorn(logits, 50).sum(0), 5, atol=1e-4)
    np.testing.assert_allclose(sinkhorn(jnp.ones((4, 1)) * logits[:1]), 1 / 8, rtol=1e-5)
    np.testing.assert_allclose(sinkhorn(logits + 7), sinkhorn(logits), rtol=1e-4)
    q = np.exp(np.asarray(logits, float)).T
    for _ in range(3):
        q = q / q.sum(1, keepdims=True) / 8
        q = q / q.sum(0, keepdims=True) / 40
    np.testing.assert_allclose(sinkhorn(logits), (q * 40).T, rtol=1e-4)


def test_me_max_and_entropy():
    p = softmax(RNG.standard_normal((9, 4)))
    mean = p.mean(0)
    assert me_max(p) == pytest.approx((mean * np.log(4 * mean)).sum(), rel=1e-5)  # the divergence from uniform
    assert entropy(jnp.array([1.0, 0])) == 0


def outputs(k=6, views=4, batch=5, seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)  # noqa: E731
    student = Output(draw(views, batch, 3), draw(views, batch, k), draw(views, batch, 7, k))
    return student, Output(draw(2, batch, 3), draw(2, batch, k), draw(2, batch, 7, k))


def call(method, student, teacher, centers=None, k=6):
    o = objective(method)
    centers = centers or {"cls": o.first_center(k), "patches": o.first_center(k)}
    mask = jnp.arange(7) < jnp.array([[2], [3], [0], [1], [7]])
    return o(student, teacher, centers, (0.05, 0.06), (jnp.ones(k), jnp.ones(k)), 8, jnp.stack([mask, mask]))


@pytest.mark.parametrize("method", METHODS)
def test_methods(method):
    """Every loss is finite and reaches the student; a student that says the same of everything has loss log K."""
    student, teacher = outputs()
    loss = lambda s: call(method, s, teacher)[0]  # noqa: E731
    value, grad = jax.jit(jax.value_and_grad(loss))(student)
    assert jnp.isfinite(value) and jnp.abs(grad.logits).max() > 0
    flat = Output(student.features, jnp.zeros_like(student.logits), jnp.zeros_like(student.patches))
    parts = call(method, flat, teacher)[2]
    assert parts["distillation"] == pytest.approx(math.log(6), rel=1e-5)
    assert ("patches" in parts) == (method in ("ibot", "dinov2")) and ("koleo" in parts) == (method == "dinov2")
    assert parts.get("me_max", 0) == pytest.approx(0, abs=1e-6)


def test_the_loss_of_dino():
    """Centre before, not after; the centre moves by the logits before the temperature."""
    student, teacher = outputs()
    center = jnp.asarray(RNG.standard_normal(6), jnp.float32)
    loss, after, _ = call("centering", student, teacher, {"cls": center})
    p = softmax((np.asarray(teacher.logits) - np.asarray(center)) / 0.05)
    log_q = np.log(softmax(np.asarray(student.logits) / 0.1))
    pairs = [-(p[q] * log_q[v]).sum(-1).mean() for q in range(2) for v in range(4) if q != v]
    assert loss == pytest.approx(np.mean(pairs), rel=1e-5)
    known = 0.9 * center + 0.1 * np.asarray(teacher.logits).reshape(-1, 6).mean(0)
    np.testing.assert_allclose(after["cls"], known, rtol=1e-5)
    np.testing.assert_allclose(moved(center, teacher.logits, 0.9), after["cls"], rtol=1e-6)


def test_a_centre_that_is_applied_a_step_later_is_that_of_dinov2():
    """Theirs keeps the rows of a step and moves the centre before the next use: the same numbers."""
    steps = [outputs(seed=s)[1].logits for s in range(3)]
    ours, theirs, waiting = jnp.zeros(6), jnp.zeros(6), None
    for logits in steps:
        if waiting is not None:
            theirs = moved(theirs, waiting)
        np.testing.assert_allclose(theirs, ours, rtol=1e-6)  # where the step uses it
        waiting, ours = logits, moved(ours, logits)


def test_a_copied_prototype_shares_its_probability():
    o = objective("centering")
    logits, center = RNG.standard_normal((1, 4, 3)), RNG.standard_normal(3)
    p = o.targets(logits / 0.05, center, 0.05)
    more = o.targets(np.concatenate([logits, logits[..., :1]], -1) / 0.05, np.append(center, center[0]), 0.05)
    twice = np.asarray(p) * [2, 1, 1]
    np.testing.assert_allclose(more[..., 0], more[..., 3], rtol=1e-6)
    np.testing.assert_allclose(more[..., 0], twice[..., 0] / twice.sum(-1) / 2, rtol=1e-4)


def test_the_mixture_of_von_mises_and_fisher():
    """Probabilities are those of the mixture's density; a prior takes the place of the centre."""
    o, lengths = objective("vmf"), jnp.array([0.5, 1.0, 2.0])
    logits = jnp.asarray(RNG.standard_normal((4, 3)), jnp.float32)
    kappa, nu = np.asarray(lengths) / 0.1, 7.0
    density = nu * np.log(kappa) - 8 * np.log(2 * np.pi) - np.log(ive(nu, kappa)) - kappa + np.asarray(logits) / 0.1
    found = jax.nn.softmax(o.log_probs(logits, 0.1, lengths, 16), -1)
    np.testing.assert_allclose(found, softmax(density), rtol=1e-3)
    prior = jnp.array([0.2, 0.3, 0.5])
    scores = o.log_probs(logits, 0.1, lengths, 16)
    np.testing.assert_allclose(o.targets(scores, prior, 0.1), softmax(density - np.log(prior)), rtol=1e-3)
    assert jnp.isfinite(o.targets(scores, jnp.array([0.0, 0.5, 0.5]), 0.1)).all()  # a prototype no one has


def test_the_constant_of_von_mises_and_fisher():
    with jax.enable_x64(True):
        known = {5: 344.286057, 10: 344.139711, 50: 339.540145}
        np.testing.assert_allclose(log_constant(np.array(list(known), float), 256), list(known.values()), atol=1e-6)
        assert log_constant(10.0, 3) == pytest.approx(-9.535291971354, abs=1e-11)
        for p in (3, 16, 256):
            area = math.log(2) + p / 2 * math.log(math.pi) - gammaln(p / 2)
            assert log_constant(0.0, p) == pytest.approx(-area, abs=2e-6)
    assert jnp.isfinite(jax.grad(log_constant)(0.0, 256))
    with pytest.raises(UsageError, match="at least 3"):
        log_constant(1.0, 2)


# the report of collapse


def test_groups_by_two_rules():
    """A chain of neighbours: the leader takes those near itself, components the whole chain."""
    angles = np.array([0, 0.2, 0.4, 2.0])  # 1 - cos 0.2 = .0199
    w = np.stack([np.cos(angles), np.sin(angles)], 1)
    assert groups(w).tolist() == [0, 0, 1, 2] and groups(w, rule="components").tolist() == [0, 0, 0, 1]
    assert groups(w, eps=0.01).tolist() == [0, 1, 2, 3]


def test_groups_in_blocks(monkeypatch):
    """Blocks give what one block gives, which is what the rule says."""
    rng = np.random.default_rng(3)
    w = rng.standard_normal((30, 3))[rng.integers(0, 30, 200)] + 0.05 * rng.standard_normal((200, 3))
    close = 1 - (u := w / np.linalg.norm(w, axis=1, keepdims=True)) @ u.T < 0.025
    leader = np.full(200, -1)
    for k in range(200):
        if leader[k] < 0:
            leader[(leader < 0) & (close[k] | (np.arange(200) == k))] = k
    whole = groups(w), groups(w, rule="components")
    np.testing.assert_array_equal(np.unique(leader, return_inverse=True)[1], whole[0])
    assert whole[1].max() < whole[0].max()
    monkeypatch.setattr("genkit_representations.prototypes.report.ROWS", 16)
    np.testing.assert_array_equal(groups(w), whole[0])
    np.testing.assert_array_equal(groups(w, rule="components"), whole[1])


def test_wrong_prototypes():
    with pytest.raises(DataError, match="zero, NaN"):
        groups(np.zeros((3, 2)))
    with pytest.raises(DataError, match="expected \\(K, b\\)"):
        groups(np.ones(3))
    with pytest.raises(UsageError, match="eps=3"):
        groups(np.ones((2, 2)), eps=3)
    with pytest.raises(DataError, match="\\(n, 4\\)"):
        collapse(np.eye(4), np.ones((2, 3)))


# files


def test_prototypes_of_files(tmp_path):
    """Weight norm, prefixes, the head of images before that of patches; plain arrays of three formats."""
    v, g = RNG.standard_normal((5, 4)).astype(np.float32), np.arange(1, 6, dtype=np.float32)[:, None]
    head = "module.head.last_layer"
    tensors = {"module.head.mlp.0.weight": v, f"{head}.weight_g": g, f"{head}.weight_v": v, f"{head}2.weight_g": g,
               f"{head}2.weight_v": -v}  # fmt: skip
    known = g * v / np.linalg.norm(v, axis=1, keepdims=True)
    np.testing.assert_allclose(prototypes_of(tensors, "x"), known, rtol=1e-6)
    save_file(tensors, tmp_path / "a.safetensors")
    np.save(tmp_path / "a.npy", v)
    np.savez(tmp_path / "a.npz", prototypes=v)
    np.testing.assert_allclose(read_prototypes(tmp_path / "a.safetensors"), known, rtol=1e-6)
    for name in ("a.npy", "a.npz"):
        np.testing.assert_array_equal(read_prototypes(tmp_path / name), v)
    np.savez(tmp_path / "b.npz", weight=v, bias=g)
    with pytest.raises(DataError, match="has no prototypes"):
        read_prototypes(tmp_path / "b.npz")
    with pytest.raises(UsageError, match="is no file"):
        read_prototypes(tmp_path / "none.npy")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UsageError, match="unknown ending"):
        read_prototypes(tmp_path / "a.txt")


def test_networks_of_a_file(tmp_path):
    """A file of both has the one that is asked for; one without it, or a direction without its gain, is refused."""
    w = RNG.standard_normal((5, 4)).astype(np.float32)
    both = {"student.dino_head.last_layer.weight": -w, "teacher.dino_head.last_layer.weight": w}
    np.savez(tmp_path / "a.npz", **both)
    save_file(both, tmp_path / "a.safetensors")
    for name in ("a.npz", "a.safetensors"):
        np.testing.assert_array_equal(read_prototypes(tmp_path / name), w)
        np.testing.assert_array_equal(read_prototypes(tmp_path / name, "student"), -w)
    assert prototypes_of(network_of(w, "teacher", "x"), "x") is w  # nothing but an array
    with pytest.raises(DataError, match="x holds a list"):
        network_of([w], "teacher", "x")
    np.savez(tmp_path / "b.npz", **{"student.prototypes": w})
    with pytest.raises(DataError, match="no network 'teacher'"):
        read_prototypes(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", **{"head.last_layer.weight_v": w})
    with pytest.raises(DataError, match="without its gain; expected head.last_layer.weight_g"):
        read_prototypes(tmp_path / "c.npz")


def test_checkpoints_of_torch(tmp_path):
    """The teacher's prototypes of a DINO checkpoint; without torch one line that says so."""
    try:
        import torch
    except ImportError:
        (tmp_path / "a.pth").write_bytes(b"")
        with pytest.raises(GenkitError, match="is a file of torch; pip install torch"):
            read_prototypes(tmp_path / "a.pth")
        return
    import argparse

    v, g = torch.randn(5, 4), torch.ones(5, 1)
    teacher = {"module.head.last_layer.weight_g": g, "module.head.last_layer.weight_v": v}
    whole = {"teacher": teacher, "student": {k: 2 * x for k, x in teacher.items()}, "epoch": 3,
             "args": argparse.Namespace(lr=1.0)}  # fmt: skip
    torch.save(whole, tmp_path / "a.pth")
    known = (v / v.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(read_prototypes(tmp_path / "a.pth"), known, rtol=1e-6)
    torch.save(v, tmp_path / "b.pt")
    np.testing.assert_array_equal(read_prototypes(tmp_path / "b.pt"), v.numpy())


def test_the_command(tmp_path, capsys):
    from genkit_representations.commands import Prototypes

    np.save(tmp_path / "w.npy", np.eye(4)[[0, 0, 1, 2]])
    Prototypes(tmp_path / "w.npy", out=tmp_path / "r.json").run()
    assert json.loads((tmp_path / "r.json").read_text()) == {
        "prototypes": 4, "unique": 3, "histogram": {"1": 2, "2": 1}, "eps": 0.025, "rule": "greedy"
    }  # fmt: skip
    assert "3 of 4" in capsys.readouterr().out
