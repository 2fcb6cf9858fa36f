"""Settings of the whole test suite; must run before jax is imported."""

import functools
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from genkit.haste import hasten

ROOT = Path(__file__).parent
LONG = 20  # seconds

# The tests state what holds on a CPU; a GPU is asked for by setting this.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Compilation dominates the suite. JAX_DISABLE_MOST_OPTIMIZATIONS=0 tests what users run.
if os.environ["JAX_PLATFORMS"] == "cpu":
    hasten()

# What was compiled is kept between runs.
caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(caches / "genkit" / "jax-tests"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# Processes that start from here on, as workers do, keep what compilers give back, in large pages: a twentieth faster.
tunables = {"hugetlb": 1, "trim_threshold": 2_000_000_000, "top_pad": 64 * 2**20}
os.environ.setdefault("GLIBC_TUNABLES", ":".join(f"glibc.malloc.{name}={value}" for name, value in tunables.items()))

# Plugins from elsewhere that happen to be installed must not decide whether the tests pass.
own = sorted(folder.parent.name for folder in ROOT.glob("plugins/*/pyproject.toml"))
os.environ["GENKIT_PLUGINS"] = ",".join(["core", *own])

# The first example compiles, so a deadline would measure the compiler.
settings.register_profile("genkit", deadline=None, derandomize=True)
settings.load_profile("genkit")


# Tracing makes many objects of which few are garbage: with the usual thresholds a tenth of the time is spent on them.
gc.set_threshold(200_000, 50, 1000)


@pytest.fixture(autouse=True, scope="module")
def _forget_programs() -> Iterator[None]:
    """Programs are kept for the tests to come until they hold 2 GB or a third of the memory maps a process may have."""
    from genkit import memory

    yield
    if _resident() > 2e9:  # most of it is what compilers have given back to the allocator
        memory.release()
    if (jax := sys.modules.get("jax")) and (_resident() > 2e9 or _maps() > 20_000):
        jax.clear_caches()
        gc.collect()


def _resident() -> int:
    """Bytes of memory in use, 0 where it cannot be known."""
    file = Path("/proc/self/statm")
    return int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if file.exists() else 0


def _maps() -> int:
    """Memory maps in use, 0 where they cannot be known."""
    file = Path("/proc/self/maps")
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.fixture(autouse=True, scope="session")
def _one_context() -> None:
    """One context of the compiler for all programs: to make one for each is a sixth of the time of a small one."""
    from jax._src.interpreters import mlir

    if make := getattr(mlir, "make_ir_context", None):  # jax's own affair, and may go
        mlir.make_ir_context = functools.cache(make)


@pytest.fixture(autouse=True, scope="session")
def _sketches() -> Iterator[None]:
    """All pictures are drawn, but coarsely and with no search for their margins; `__wrapped__` draws what users see."""
    from matplotlib.figure import Figure

    @functools.wraps(Figure.savefig)
    def hasty(figure: Figure, *args: Any, **options: Any) -> None:
        figure.set_layout_engine("none")
        Figure.savefig.__wrapped__(figure, *args, **options | {"dpi": 40, "bbox_inches": None})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", hasty)
        yield


@pytest.fixture
def optimised() -> Iterator[None]:
    """For tests that compute for longer than they compile: the compiler takes its time."""
    import jax

    hasty = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", hasty)


def pytest_sessionfinish() -> None:
    """All memory goes with the process: pytest and Python would look through it for garbage first."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that make everybody wait."""
    reports = [one for some in terminalreporter.stats.values() for one in some if isinstance(one, pytest.TestReport)]
    slow = sorted((one for one in reports if one.duration > LONG), key=lambda one: -one.duration)
    if slow:
        terminalreporter.section(f"tests over {LONG} s: make them smaller")
        for one in slow:
            terminalreporter.line(f"{one.duration:6.1f} s  {one.when:8}  {one.nodeid}")
