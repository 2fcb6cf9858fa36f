"""Wrong command lines, values and run folders: one line and the right exit code, no traceback, no hang.

    python benchmarks/hostile.py                                  # 1,000 lines, 200 folders
    python benchmarks/hostile.py --lines 40 --folders 10          # a short form

Lines are right ones with random changes; folders are copies of a good one with random damage, and several commands
look at each. All are drawn from --seed, and run in this process, some lines in one of their own as well (--processes).
What is wrong is printed with the words that repeat it; then the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

from damages import damage

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 30  # seconds of a command

RIGHT = [
    "run toy.study --number 3 --out new --seed 4",
    "run toy.study --sampler corrected --sampler.base slow --sampler.base.steps 7 --rate=-1.5 --out new",
    "run toy.fitted --steps 2 --rate 0.25 --noise.scale 2 --out new --keep 3 --save_every 5",
    "run good/config.yaml --out good --resume",
    "run good/config.yaml --out new --seed 9 --preset default",
    "run toy.study --sizes 3 4 5 --pairs 1 0.5 --weights a 2 b 3 --flag True --mode good --file x --out new",
    "show core.mixture --preset tiny --steps 100 --sampler dpmpp_2s --sampler.steps 5 --process vp --network.width 16",
    "show weather.diffusion_lam --data ou --data.cells 8 --optimizer adamw --optimizer.lr 1e-4 --window.past 2",
    "show weather.cef --preset paper --network.multipliers 1 2 --stations.thresholds 1.5 2 --T_it 6",
    "show molecules.ardm --data zinc250k --network graph_transformer --batch 8 --optimizer.warmup 0",
    "show inverse.ddsmc_gmm --methods ddsmc mcgdiff --methods.0.steps 50 --seed 1",
    "show good",
    "list datasets",
    "list all",
    "plugins --verbose",
    "compare good good --only mean",
    "report good",
    "evaluate good",
    "sample good --n 3 --seed 2 --chunk 2 --out s.npz --shift 0.5",
    "export good --out e.npz",
    "doctor good",
    "data path toy.points --file t.txt",
    "data list",
    "completion bash",
    "sweep toy.study --number 1,2 --out swept",
    "import toy-text t.txt --out imported",
]  # fmt: skip
VALUES = [
    "", " ", "0", "-1", "nan", "inf", "-inf", "1e400", "9" * 30, "1.5", "none", "x", "[]", "{}", "1,2", "--", "-", "-h",
    "../x", "/", "/dev/zero", "/dev/null", "a:b", "os:system", "toy_plugin:Study", "toy_plugin", "module:", ":", "*",
    "\x00"[:0] + "\udcff", "ü", "a" * 3000, "$(id)", "<b>", "[red]", "%s", "\\", "'", '"', "\n", "True", "good", "0x10",
    "1_000", "１", "--number", "--number=", "--sampler=slow", "--trust", "--resume", "--dry_run", "--memory", "--debug",
]  # fmt: skip
COMMANDS = [
    "doctor {0}", "show {0}", "report {0}", "compare {0} good", "evaluate {0}", "sample {0} --n 2 --out s.npz",
    "export {0} --out e.npz", "run {0} --out {0} --resume", "run {0}/config.yaml --out new",
]  # fmt: skip


# what a command does


class Hang(BaseException):
    """It took too long; no code of genkit catches this."""


def called(words: list[str]) -> tuple[int, str, str]:
    """Exit code and what was printed, in this process."""
    from genkit.cli import main

    def late(*_: Any) -> None:
        raise Hang

    out, err = io.StringIO(), io.StringIO()
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return code, out.getvalue(), err.getvalue()


def apart(words: list[str]) -> tuple[int, str, str]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "_genkit_jax", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=4 * LIMIT)
    except subprocess.TimeoutExpired:
        raise Hang from None
    return done.returncode, done.stdout, done.stderr


def wrong(words: list[str], how: Callable[[list[str]], tuple[int, str, str]] = called) -> str:
    """What is wrong with how a command ends; "" if nothing."""
    there = Path("new").exists()
    try:
        code, out, err = how(words)
    except Hang:
        return f"hangs for {LIMIT} s"
    except BaseException as error:
        return f"raises {type(error).__name__}: {error}"
    if code == 2 and Path("new").exists() and not there:
        return "wrong usage that leaves a folder"
    if found := re.search(r"^# not known: .*\((?!NotImplemented)\w+(Error|Exception|Exit): .*", out, re.MULTILINE):
        return found[0]
    if "Traceback" in out + err and not {"--verbose", "--debug"} & {*words}:
        return f"a traceback: {err[-500:]}"
    if code not in (0, 1, 2):
        return f"code {code}: {err[-300:]}"
    if re.search(r"; --debug shows all$", err.strip()):
        return f"a raw error: {err.strip()[-400:]}"
    if code and not (err.strip() or out.strip()):
        return f"code {code} and not a word"
    if code and len(err) > 6000:
        return f"{len(err)} characters of message"
    return ""


# wrong lines


def changed(words: list[str], draw: random.Random) -> list[str]:
    """A command line with a few random changes."""
    words = list(words)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at, how = draw.randrange(len(words)), draw.randrange(8)
        if how == 0 and len(words) > 1:
            del words[at]
        elif how == 1:
            words.insert(at, draw.choice(words))
        elif how == 2:
            to = draw.randrange(len(words))
            words[at], words[to] = words[to], words[at]
        elif how in (3, 4):
            words[at] = draw.choice(VALUES)
        elif how == 5:
            words.insert(at + 1, draw.choice(VALUES))
        elif how == 6 and words[at]:
            place = draw.randrange(len(words[at]))
            words[at] = words[at][:place] + draw.choice(["", "x", ".", "=", "-", "_"]) + words[at][place + 1 :]
        elif how == 7:
            words[at] = words[at].partition("=")[0] + "=" + draw.choice(VALUES)
    return words


@contextlib.contextmanager
def tidied() -> Iterator[None]:
    """What comes into the current folder goes again."""
    before = set(os.listdir())
    yield
    for name in set(os.listdir()) - before:
        path = Path(name)
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def right() -> Iterator[tuple[str, str]]:
    """Each line as it should be, with what is wrong about its end: a change of what fails anyway tries little."""
    for line in RIGHT:
        with tidied():
            code, _, err = called(line.split())
            yield line, f"code {code}: {err[-300:]}" * (code != 0)


def lines(number: int, processes: int, draw: random.Random) -> Iterator[tuple[str, str]]:
    """Each wrong line with what is wrong about its end."""
    for i in range(number):
        words = changed(draw.choice(RIGHT).split(), draw)
        with tidied():
            for how in (called, apart)[: 1 + (i < processes and "\n" not in words)]:
                yield repr(words), wrong(words, how)


# wrong values

NUMBERS = ["0", "-1", "nan", "inf", "9" * 40, "", "x"]
WORDS = ["-1", "", "x"]


def given(option: Any, value: str) -> str | tuple[str, ...]:
    """A value for a field, as often as it holds one; a tuple is several words."""
    if isinstance(option.value, tuple):
        return (value,) * max(1, sum(len(one) if isinstance(one, tuple) else 1 for one in option.value))
    return ("x", value) if isinstance(option.value, dict) else value


def named(option: Any, message: str) -> str:
    """What is wrong with a message that refuses a value; "" if it is one line, or the parser's box, with the field."""
    box = "Error parsing" in message or "invalid choice" in message
    if "\n" in message.strip() and not box:
        return f"more than a line: {message}"
    return "" if option.field.name.removesuffix("s") in message else f"it does not name the field: {message}"


def components(kinds: Iterable[str]) -> Iterator[Any]:
    """One of each class that is registered, and of each class that is a part of one but no component, tiny."""
    from genkit.experiment import preset_of, walk
    from genkit.plugin import registry

    found = [preset_of(registry().load(kind, item.name), "tiny") for kind in kinds for item in registry().items(kind)]
    parts = [part for made in found for option in walk(made) if not option.slot for part, _ in option.parts]
    yield from {type(made): made for made in [*found, *parts]}.values()


def values(kinds: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each field of each registered component takes each value: refused by its name, or a configuration.

    A field counts where it is declared. What the parser does not read as its type is tried once a type.
    """
    from genkit.errors import UsageError
    from genkit.experiment import walk, with_options

    declared, unread = set(), set()
    for made in components(kinds):
        own = {f.name: f for f in fields_of(made)}
        for option in walk(made):
            if option.field is not own.get(option.key):
                continue
            owner = [c for c in type(made).__mro__ if option.field.name in vars(c).get("__annotations__", {})][-1]
            if option.slot or option.parts or (owner, option.field.name) in declared:
                continue
            declared.add((owner, option.field.name))
            for value in NUMBERS if {int, float} & {option.hint, *typing.get_args(option.hint)} else WORDS:
                if (option.hint, value) in unread:
                    continue
                found = ""
                try:
                    with_options(made, {option.field.name: given(option, value)})
                except UsageError as error:
                    found = named(option, str(error))
                    if "Error parsing" in str(error):
                        unread.add((option.hint, value))
                except Exception as error:
                    found = f"raises {type(error).__name__}: {error}"
                yield f"{type(made).__name__}.{option.field.name} = {value!r}", found


def fields(number: int, draw: random.Random, only: str) -> Iterator[tuple[str, str]]:
    """A field of a random component of a random experiment takes a random value: refused, or shapes that work."""
    from genkit.errors import GenkitError
    from genkit.experiment import config, walk
    from genkit.plugin import registry

    names = [item.name for item in registry().items("experiments") if item.name.startswith(only)]
    for _ in range(number):
        name, chosen = draw.choice(names), {}
        own = name.partition(".")[0]
        try:
            made = config(name, "tiny")
            key, slot = draw.choice([(option.key, option.slot) for option in walk(made) if option.slot])
            if offered := slot.offered(own):
                chosen = {key: draw.choice(offered).name}
                made = config(name, "tiny", chosen)
        except GenkitError:  # the component does not fit with the rest, or needs data that is not here
            chosen, made = {}, config(name, "tiny")
        option = draw.choice([option for option in walk(made) if not (option.slot or option.parts)])
        value = draw.choice([*NUMBERS, "1", "1e400", "1.5", "none", str(2**31), str(2**31 - 1)])
        values = given(option, value)
        words = [f"--{k}={v}" for k, v in chosen.items()]
        words += [f"--{option.key}={values}"] if isinstance(values, str) else [f"--{option.key}", *values]
        words = ["run", name, "--preset", "tiny", *words, "--dry_run"]
        yield " ".join(words), wrong(words)


# damaged and hostile folders


def folders(number: int, draw: random.Random) -> Iterator[tuple[str, str]]:
    """Each command on each damaged folder, with what is wrong about its end."""
    outside = Path("elsewhere/mine")
    outside.parent.mkdir()
    outside.write_text("mine")
    for _ in range(number):
        shutil.copytree("good", "bad")
        how = "; ".join(damage(Path("bad"), outside.absolute(), draw) for _ in range(draw.choice((1, 1, 2))) if _safe())
        for command in [COMMANDS[0], *draw.sample(COMMANDS[1:], 4)]:
            found = wrong(command.format("bad").split())
            page = Path("bad/report.html")
            if not found and not page.is_symlink() and page.is_file() and "<script" in page.read_text(errors="ignore"):
                found = "a script in report.html" if "report.html" not in how else ""
            if not found and (outside.read_text(), os.listdir("elsewhere")) != ("mine", ["mine"]):
                found = "it wrote outside the folder"
            yield f"{how}: genkit {command.format('bad')}", found
        subprocess.run(["chmod", "-R", "u+rwX", "bad"], stderr=subprocess.DEVNULL)
        for name in ("bad", "new", "e.npz", "s.npz"):
            path = Path(name)
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _safe() -> bool:
    """Whether there is a file left to damage."""
    return any(p.is_file() and not p.is_symlink() for p in Path("bad").rglob("*"))


# the whole


@contextlib.contextmanager
def workplace() -> Iterator[None]:
    """A new current folder with a good run and the plugin of the tests, whose experiments cost nothing."""
    with tempfile.TemporaryDirectory(prefix="genkit-") as name, contextlib.chdir(name):
        info = Path("site/toy-1.0.dist-info")
        info.mkdir(parents=True)
        shutil.copy(ROOT / "tests/toy_plugin.py", "site")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[genkit.plugins]\ntoy = toy_plugin:plugin\n")
        sys.path.insert(0, str(Path("site").absolute()))
        paths = [sys.path[0], os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        prepare()
        yield


def prepare() -> None:
    """Put a good run and what lines speak of into the current folder."""
    Path("t.txt").write_text("2.5\n")
    code, _, err = called(["run", "toy.fitted", "--out", "good", "--steps", "4"])
    assert code == 0, err


def main() -> int:
    """Print what is wrong, and how many were right."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--lines", type=int, default=1000, help="wrong command lines")
    parser.add_argument("--processes", type=int, default=30, help="of them run in a process of their own as well")
    parser.add_argument("--folders", type=int, default=200, help="damaged folders, five commands on each")
    parser.add_argument("--fields", type=int, default=0, help="values of fields of components, by --dry_run")
    parser.add_argument("--only", default="", help="experiments whose fields are tried: how their names begin")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts, start = Counter(), time.monotonic()
    with workplace():
        for what, tries in (
            ("right lines", right()),
            ("lines", lines(given.lines, given.processes, random.Random(given.seed))),
            ("values of fields", fields(given.fields, random.Random(given.seed), given.only)),
            ("commands on damaged folders", folders(given.folders, random.Random(given.seed))),
        ):
            for text, found in tries:
                if time.monotonic() - start > given.seconds:
                    print(f"not all {what}: the time is over")
                    break
                counts[what, bool(found)] += 1
                if found:
                    print(f"{text}\n    {found}", flush=True)
    for (what, bad), n in sorted(counts.items()):
        print(f"{n:5d} {what}: {'WRONG' if bad else 'as they should be'}")
    print(f"{time.monotonic() - start:.0f} s, {time.process_time():.0f} CPU seconds")
    return int(any(bad for _, bad in counts))


if __name__ == "__main__":
    sys.exit(main())
