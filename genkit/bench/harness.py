"""The harness: suites are measured one after another in a quiet pytest session, whose fixture is the timer."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax

from genkit.bench.rows import Row, Timed
from genkit.errors import GenkitError
from genkit.kinds import Benchmark

Profile = Literal["full", "smoke"]
SMOKE = ("--benchmark-min-rounds=1", "--benchmark-max-time=0.1")


def measure(
    suites: Mapping[str, Benchmark],
    profile: Profile = "full",
    done: Callable[[str, list[Row]], None] = lambda name, rows: None,
) -> dict[str, list[Row]]:
    """Measure suites by name; `done(name, rows)` is told of each when it is finished.

    Compiles afresh: the compilation cache is off, since compile seconds are figures too. Raises what a suite
    raises, and `GenkitError` without pytest-benchmark.
    """
    try:
        import pytest
        import pytest_benchmark  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise GenkitError("bench needs pytest-benchmark; python -m pip install pytest pytest-benchmark") from None
    found: dict[str, list[Row]] = {}
    failed: list[BaseException] = []

    def work(name: str, timer: Any) -> None:
        if failed:
            return
        try:
            rows: list[Row] = []
            for one in suites[name].measure(profile):
                rounds = 1 if profile == "smoke" else 5
                rows += one.rows(copy.copy(timer), rounds) if isinstance(one, Timed) else [one]
            found[name] = rows
            done(name, rows)
        except BaseException as error:  # raised again below, outside pytest
            failed.append(error)

    class Works:
        """Gives the test of `session` its parameters."""

        def pytest_generate_tests(self, metafunc: Any) -> None:
            metafunc.parametrize("work", [partial(work, name) for name in suites], ids=list(suites))

    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYTEST_")}
    cached = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            code = pytest.main(
                [
                    str(Path(__file__).with_name("session.py")),
                    *("-c", os.devnull, f"--rootdir={folder}", f"--benchmark-storage=file://{folder}"),
                    *("--noconftest", "--disable-plugin-autoload", "-p", "pytest_benchmark.plugin"),
                    *("-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:faulthandler", "-p", "no:logging"),
                    *("-s", "--assert=plain", "--benchmark-quiet", *(SMOKE if profile == "smoke" else ())),
                ],
                plugins=[Works()],
            )
    finally:
        jax.config.update("jax_enable_compilation_cache", cached)
        os.environ.update(hidden)
    if failed:
        raise failed[0]
    if suites and code:
        raise GenkitError(
            f"pytest ended with {code!r} before it measured; bench needs pytest 8.4 and pytest-benchmark 5"
        )
    return found
