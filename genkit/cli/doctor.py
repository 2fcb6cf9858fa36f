"""`genkit doctor`: is this installation in order, or a run?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from genkit.plugin import registry

OK, WARNING, BROKEN = "ok", "warning", "broken"
Row = tuple[str, str, str]  # what, how it is, details


@dataclass(frozen=True)
class Doctor:
    """Check this installation (versions, devices, folders, plugins), or every file of a run with its checksums.

    The exit code is 1 if something is broken.
    """

    run_folder: Annotated[Path | None, tyro.conf.Positional] = None
    """The run to check, in place of the installation."""
    trust: bool = False
    """Allow the run's configuration to name own code (module:Class)."""

    def run(self) -> int:
        """Show a table."""
        from rich.table import Table
        from rich.text import Text

        from genkit.terminal import console

        rows = list(checks() if self.run_folder is None else _run(self.run_folder, self.trust))
        shown = Table(title="genkit doctor", title_justify="left")
        for title in ("", "state", "details"):
            shown.add_column(title, overflow="fold")
        colours = {OK: "green", WARNING: "yellow", BROKEN: "bold red"}
        for what, state, details in rows:
            shown.add_row(what, Text(state, colours[state]), details)
        console().print(shown)
        return int(any(state == BROKEN for _, state, _ in rows))


def _run(folder: Path, trust: bool) -> Iterator[Row]:
    from genkit.experiment import inspect

    for what, how, good in inspect(folder, trust):
        yield what, OK if good else BROKEN, how


def checks() -> Iterator[Row]:
    """All checks, one after another; none raises."""
    yield _python()
    yield _clash()
    yield from _versions()
    yield from _plugins()
    yield from _jax()
    yield _cache()
    yield _data()
    yield _disk()


def _python() -> Row:
    good = sys.version_info >= (3, 11)
    return "python", OK if good else BROKEN, f"{platform.python_version()} at {sys.executable}"


def _clash() -> Row:
    import _genkit_jax

    problem = _genkit_jax.clash()
    return "distribution", BROKEN if problem else OK, problem or "no other distribution named genkit"


def _versions() -> Iterator[Row]:
    """Each genkit distribution with its requirements."""
    from packaging.requirements import Requirement

    found = importlib.metadata.distributions()
    names = sorted({d.metadata["Name"] for d in found if d.metadata["Name"].startswith("genkit-")})
    for name in names:
        wrong, count = [], 0
        for text in importlib.metadata.requires(name) or []:
            need = Requirement(text)
            if need.marker and not need.marker.evaluate({"extra": ""}):
                continue
            count += 1
            try:
                have = importlib.metadata.version(need.name)
            except importlib.metadata.PackageNotFoundError:
                wrong.append(f"{need} is missing")
                continue
            if not need.specifier.contains(have, prereleases=True):
                wrong.append(f"{need} is needed, {have} is installed")
        details = "; ".join(wrong) or f"{importlib.metadata.version(name)}, its {count} requirements are met"
        yield name, BROKEN if wrong else OK, details


def _plugins() -> Iterator[Row]:
    for one in registry().installed:
        details = one.plugin.summary if one.plugin else f"{one.error} ({one.distribution})"
        yield f"plugin {one.name}", OK if one.plugin else BROKEN, details


def _jax() -> Iterator[Row]:
    """Import, devices, and one small compiled product checked by hand."""
    try:
        import jax
        import jax.numpy as jnp

        devices = jax.devices()
    except Exception as error:
        yield "jax", BROKEN, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        return
    kinds = ", ".join(sorted({d.device_kind for d in devices}))
    yield "jax", OK, f"{jax.__version__}, {len(devices)} x {kinds} ({devices[0].platform})"
    start = time.perf_counter()
    try:
        product = jax.jit(lambda a: (a @ a).sum())(jnp.ones((64, 64)))
        right = float(product) == 64.0**3
    except Exception as error:
        yield "compilation", BROKEN, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        return
    seconds = time.perf_counter() - start
    yield "compilation", OK if right else BROKEN, f"64 x 64 product {'right' if right else 'wrong'}, {seconds:.2f} s"


def _cache() -> Row:
    from genkit.data import cache_dir

    if os.environ.get("GENKIT_COMPILE_CACHE") == "0":
        return "compile cache", WARNING, "off (GENKIT_COMPILE_CACHE=0): every start compiles again"
    folder = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or cache_dir() / "jax")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return "compile cache", BROKEN, f"{folder} cannot be written: {error.strerror}; set GENKIT_CACHE to another"
    return "compile cache", OK, str(folder)


def _data() -> Row:
    named = os.environ.get("GENKIT_DATA")
    if not named:
        return "GENKIT_DATA", OK, "not set: data are downloaded or generated into the cache"
    if not Path(named).expanduser().is_dir():
        return "GENKIT_DATA", BROKEN, f"{named} is no folder; set it to the folder of your data or unset it"
    return "GENKIT_DATA", OK, named


def _disk() -> Row:
    from genkit.data import cache_dir

    places = [Path.cwd(), next(p for p in (cache_dir(), *cache_dir().parents) if p.exists())]
    free = {str(p): shutil.disk_usage(p).free / 1e9 for p in places}
    low = min(free.values())
    state = BROKEN if low < 0.1 else WARNING if low < 2 else OK
    return "free disk", state, ", ".join(f"{gb:.1f} GB at {p}" for p, gb in free.items())
