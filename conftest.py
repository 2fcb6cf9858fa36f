"""Settings of the whole test suite; must run before jax is imported."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent

# The tests state what holds on a CPU; a GPU is asked for by setting this.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Compilation dominates the suite, so its results are kept between runs.
caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(caches / "genkit" / "jax-tests"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

# Plugins from elsewhere that happen to be installed must not decide whether the tests pass.
own = sorted(folder.parent.name for folder in ROOT.glob("plugins/*/pyproject.toml"))
os.environ["GENKIT_PLUGINS"] = ",".join(["core", *own])

# The first example compiles, so a deadline would measure the compiler.
settings.register_profile("genkit", deadline=None, derandomize=True)
settings.load_profile("genkit")


@pytest.fixture(autouse=True, scope="module")
def _forget_programs() -> Iterator[None]:
    """Compiled programs hold memory maps, of which a process may have some 65 000: those of a module go with it."""
    yield
    if jax := sys.modules.get("jax"):
        jax.clear_caches()
