"""The doctor finds what is broken, and nothing where nothing is."""

import importlib.metadata

import pytest

import _genkit_jax
from genkit.cli import main
from genkit.cli.doctor import BROKEN, OK, WARNING, checks


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GENKIT_DATA", raising=False)
    monkeypatch.delenv("GENKIT_COMPILE_CACHE", raising=False)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)


def states():
    return {what: (state, details) for what, state, details in checks()}


def test_all_is_well(capsys, monkeypatch):
    found = states()
    assert {state for what, (state, _) in found.items() if what != "free disk"} == {OK}, found
    assert {"python", "genkit-jax", "jax", "compilation", "plugin core", "GENKIT_DATA", "free disk"} <= set(found)
    assert "product right" in found["compilation"][1]
    assert main(["doctor"]) == 0
    assert "genkit-jax" in capsys.readouterr().out


def test_a_broken_plugin(install, capsys):
    install("bad", "raise RuntimeError('[red]no luck')")
    assert states()["plugin bad"] == (BROKEN, "RuntimeError: [red]no luck (bad 1.0)")
    assert main(["doctor"]) == 1
    assert "[red]no luck" in capsys.readouterr().out


def test_another_genkit(monkeypatch):
    monkeypatch.setattr(_genkit_jax, "clash", lambda: "another one")
    assert states()["distribution"] == (BROKEN, "another one")


def test_requirements(monkeypatch):
    needs = ["numpy<1", "no-such-package>=3", "tyro>=1", "gone; extra == 'x'", "old; python_version < '3'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needs)
    state, details = states()["genkit-jax"]
    assert state == BROKEN
    assert details.startswith("numpy<1 is needed, ") and details.endswith("; no-such-package>=3 is missing")


def test_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_DATA", str(tmp_path / "gone"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "file"))
    found = states()
    assert found["GENKIT_DATA"][0] == BROKEN and "is no folder; set it to" in found["GENKIT_DATA"][1]
    assert found["compile cache"][0] == BROKEN and "cannot be written" in found["compile cache"][1]
    monkeypatch.setenv("GENKIT_COMPILE_CACHE", "0")
    monkeypatch.setenv("GENKIT_DATA", str(tmp_path))
    found = states()
    assert found["compile cache"][0] == WARNING and found["GENKIT_DATA"] == (OK, str(tmp_path))


def test_a_full_disk(monkeypatch):
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "free")
    for free, state in ((50e6, BROKEN), (1e9, WARNING), (1e11, OK)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage(free))
        assert states()["free disk"][0] == state


def test_jax_without_devices(monkeypatch):
    import jax

    def none():
        raise RuntimeError("no devices\nat all")

    monkeypatch.setattr(jax, "devices", none)
    found = states()
    assert found["jax"] == (BROKEN, "RuntimeError: no devices") and "compilation" not in found
