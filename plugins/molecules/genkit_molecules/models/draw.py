"""One way to draw: items of any size side by side in rows of a few widths, some at a time, by any method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from genkit.discrete import LEARNED_ORDER, ClassifierFree, sample
from genkit.errors import UsageError
from genkit.model import LogYes
from genkit.steer import ARDG, BSDG, FADG, WeightedSum, guide
from genkit_molecules.items import NULL, YES, Held, HeldDenoiser
from genkit_molecules.models.constraints import Constraint, check_holds, rows
from genkit_molecules.models.discrete import DISCRETE
from genkit_molecules.models.foresight import Foreseen, Wish
from genkit_molecules.models.widths import bounded

if TYPE_CHECKING:
    from genkit_molecules.models.trained import Generator, Guided

AT_ONCE = 1024  # items that are drawn at a time
PARTICLES = 2500  # likewise
BY_DISCRIMINATOR = {"ardg": ARDG, "bsdg": BSDG, "fadg": FADG}
BY_CRITICS = ("classifier", "discriminator", "both")
BY_REWARD = "reward"


def in_two(n: int) -> int:
    """How many of n items are drawn at a time where none is said: the second part tells the speed."""
    return min(AT_ONCE, -(-n // 2))


@dataclass(frozen=True)
class Method:
    """A way to draw, written as ``fadg/10``: what steers, and the particles of a sample."""

    kind: str
    particles: int = 1

    @classmethod
    def named(cls, name: str, model: Generator | Guided) -> Method:
        """The method of this name; refuses one that the model cannot follow, in one line."""
        kind, _, number = name.partition("/")
        alone = model.generator.discrete.name
        known = [alone, "cfg", *BY_DISCRIMINATOR, *BY_CRITICS, BY_REWARD]
        if kind not in known:
            raise UsageError(f"method {name!r}; expected {', '.join(known)}, with particles as in fadg/10")
        if number and not (number.isascii() and number.isdigit() and int(number)):
            raise UsageError(f"method {name!r}: {number!r} is no number of particles")
        one = kind in (alone, "cfg", "ardg")
        if one and number not in ("", "1"):
            raise UsageError(f"method {name!r}: {kind} has one particle a sample")
        if not one and not number:
            raise UsageError(f"method {name!r} needs a number of particles, as in {kind}/10")
        found = cls(kind, int(number or 1))
        found.check(model)
        return found

    def check(self, model: Generator | Guided) -> None:
        """Refuse a model without the critics that are needed, or without sites that are revealed one by one."""
        needs, discrete = [], model.generator.discrete
        if self.kind == "cfg" and discrete.orders == LEARNED_ORDER:
            raise UsageError("method cfg changes what is said of values, and the order here is learned with it; take "
                             "classifier/10")  # fmt: skip
        if self.kind in ("ardg", "fadg") and not discrete.ordered:
            raise UsageError(f"method {self.kind} weighs all values of the next site, and {discrete.name} moves all "
                             "sites at once; take bsdg/10")  # fmt: skip
        if self.kind in (*BY_DISCRIMINATOR, "discriminator", "both"):
            needs.append("discriminator")
        if self.kind in ("classifier", "both", "cfg"):
            needs.append("classifier")
        lacks = [name for name in needs if getattr(model, name, None) is None]
        if lacks:
            where = "./PATH" if model.origin is None else model.origin.folder
            command = model.layout.trainers[lacks[-1]].format(where)
            raise UsageError(f"method {self.kind} needs a {lacks[0]}, which the model {where} lacks; `genkit run "
                             f"{command}` trains one")  # fmt: skip


def drawn(
    model: Generator | Guided,
    key: jax.Array,
    n: int,
    method: Method,
    chunk: int,
    strength: float = 1.0,
    look_ahead: bool = True,
    constraint: Constraint | None = None,
    wish: Wish | None = None,
    confident: bool = False,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield pieces of n items: `samples` (m, D) uint8, their `size` (m,), and of particles what their groups say.

    That is `log_z`, the log of the estimate of E[W(x)] under the model, `ess`, the mean effective sample size, and
    `collapsed`, whether all weights vanished. `confident`: the surest site is revealed next, not a random one.
    An item depends on the key and its place alone, not on n or the chunks. Where sizes differ much, small ones have
    programs of their own; see `bounded`.
    """
    generator, layout = model.generator, model.generator.layout
    if constraint is not None:
        check_holds(generator.discrete)
    sizes, share = generator.law(None if constraint is None else constraint.fits)
    k_size, k_draw = jax.random.split(key)
    size_of = np.random.default_rng(np.asarray(jax.random.key_data(k_size)).tolist())
    form_of = np.random.default_rng(np.asarray(jax.random.key_data(jax.random.fold_in(k_size, 1))).tolist())
    steps = layout.width if generator.discrete.ordered else lambda size: 1
    bounds = (int(sizes.max()),) if generator.budget else bounded(sizes, share, lambda s: layout.width(s) * steps(s))
    placed, at_once = jax.device_put(model), min(n, chunk)
    programs, kinds = [], np.searchsorted(bounds, sizes)
    for number, most in enumerate(bounds):
        draw = _drawer(placed, method, strength, look_ahead, constraint is not None, wish, most)
        at_a_time = at_once if len(bounds) == 1 else block(at_once * share[kinds == number].sum())
        programs.append((most, draw, generator.sampler(most, confident), at_a_time))

    def part(program: Any, size: np.ndarray, form: np.ndarray | None, slots: np.ndarray) -> dict[str, np.ndarray]:
        most, draw, sampler, _ = program
        atoms, width = np.arange(most) < size[:, None], layout.width(most)
        cond, real = {"mask": atoms}, np.asarray(layout.real(atoms))
        if constraint is not None and form is not None:
            cond |= {"known": rows(constraint, layout, size, form, width), "sites": real.sum(1)}
        found = {k: np.asarray(v) for k, v in draw(k_draw, sampler, (len(size), width), cond, slots, real).items()}
        samples = np.zeros((len(size), layout.width(bounds[-1])), np.uint8)
        samples[:, layout.places(most, samples.shape[1])] = found["samples"]
        return found | {"samples": samples}

    for first in range(0, n, at_once):
        size = size_of.choice(sizes, at_once, p=share)
        form = None if constraint is None else form_of.integers(constraint.forms, size=at_once)
        kind, pieces, order = np.searchsorted(bounds, size), [], []
        for number, program in enumerate(programs):
            for some in filled(np.flatnonzero(kind == number), program[-1]):
                pieces.append(part(program, size[some], None if form is None else form[some], first + some))
                order.append(some)
        place = np.unique(np.concatenate(order), return_index=True)[1][: n - first]
        found = {name: np.concatenate([piece[name] for piece in pieces])[place] for name in pieces[0]}
        yield found | {"size": size[: n - first]}


def block(expected: float) -> int:
    """Rows of a program that draws about so many items of a chunk: in four parts or five, equal on all devices."""
    devices = jax.device_count()
    return -(-int(np.ceil(expected / 4)) // devices) * devices


def filled(places: np.ndarray, size: int) -> list[np.ndarray]:
    """Places in blocks of this size, the last one filled up with its first place."""
    parts = [places[i : i + size] for i in range(0, len(places), size)]
    return [np.concatenate([part, np.repeat(part[:1], size - len(part))]) for part in parts]


def _drawer(
    model: Generator | Guided, method: Method, strength: float, look_ahead: bool, held: bool, wish: Any, widest: int
) -> Any:
    """draw(key, sampler, shape, cond, slots, mask) -> arrays by name.

    ardg, bsdg and fadg are steered by the discriminator; discriminator, classifier and both by what they say, reward by
    what is wished of what is foreseen, looking ahead (FADG, and ARDG of one particle) or not (BSDG); cfg is
    classifier-free guidance, all else the model alone.
    """
    denoiser, n, classes = model.generator.denoiser, method.particles, model.generator.layout.classes
    denoiser = HeldDenoiser(denoiser, classes) if held else denoiser
    if method.kind in (model.generator.discrete.name, "cfg"):

        def alone(key: Any, sampler: Any, shape: Any, cond: Any, slots: Any, mask: Any) -> Any:
            net = denoiser
            if method.kind == "cfg":
                net = ClassifierFree(cond | {"given": NULL}, strength, of="x0")(denoiser)
                cond = cond | {"given": np.broadcast_to(YES, (shape[0], len(YES)))}
            return {"samples": sample(key, sampler, net, shape, cond, slots, mask)}

        return alone
    particles = BSDG(n)
    if method.kind == BY_REWARD:
        discrete, space = model.generator.discrete, model.generator.layout.space(widest)
        potential = Foreseen(denoiser, space.allowed, strength, wish, classes, discrete.name in DISCRETE)
    else:
        potential = _potential(model, method.kind, strength)
    potential = Held(potential, classes) if held else potential
    if method.kind in ("ardg", "fadg") or (method.kind in (*BY_CRITICS, BY_REWARD) and look_ahead):
        particles = FADG(n) if n > 1 else ARDG()

    def steered(key: Any, sampler: Any, shape: Any, cond: Any, slots: Any, mask: Any) -> Any:
        chunk = min(shape[0], max(1, PARTICLES // n))
        found = guide(key, particles, sampler, denoiser, potential, shape, cond, chunk=chunk, slots=slots, mask=mask)
        ess = np.asarray(found.ess).mean(1)
        return {"samples": found.x[:, 0], "log_z": found.log_z, "ess": ess, "collapsed": found.collapsed}

    return steered


def _potential(model: Any, kind: str, strength: float) -> Any:
    """Of critics as named; where a model has both, one program serves all kinds."""
    if model.classifier is None:
        return model.discriminator
    weights = {"classifier": (0.0, strength), "both": (1.0, strength)}.get(kind, (1.0, 0.0))
    return WeightedSum((model.discriminator, LogYes(model.classifier)), weights)
