"""The start of the command: another distribution of the same name, and what importing must not load."""

import subprocess
import sys

import pytest

import _genkit_jax


def other_genkit(folder):
    info = folder / "genkit-2.3.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: genkit\nVersion: 2.3.4\n")


def test_refuses_beside_a_distribution_of_the_same_name(tmp_path, monkeypatch, capsys):
    other_genkit(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert _genkit_jax.main() == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "'genkit' 2.3.4" in err and "uninstall" in err


@pytest.mark.parametrize("first", [True, False])
def test_the_refusal_does_not_depend_on_the_order_of_installation(tmp_path, first):
    other_genkit(tmp_path)
    package = tmp_path / "genkit"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the other project')\n")
    order = f"sys.path.{'insert(0, ' if first else 'append('}{str(tmp_path)!r})"
    code = f"import sys; {order}; import _genkit_jax; sys.exit(_genkit_jax.main())"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("genkit: the distribution 'genkit' 2.3.4") and done.stderr.count("\n") == 1


def test_alone_it_does_not_refuse():
    assert _genkit_jax.clash() is None


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["plugins"]])
def test_light_commands_leave_jax_alone(arguments, tmp_path):
    code = (
        "import atexit, gc, sys, _genkit_jax\n"
        "atexit.register(lambda: print(gc.get_freeze_count(), file=sys.stderr))\n"
        f"sys.argv = ['genkit', *{arguments!r}]\n"
        "try:\n    code = _genkit_jax.main()\n"
        "except SystemExit as stop:\n    code = stop.code\n"
        "heavy = {'jax', 'flax', 'optax', 'orbax', 'grain', 'scipy', 'matplotlib', 'xarray'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not code and not heavy, (code, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "genkit" in done.stdout or "core" in done.stdout
    assert int(done.stderr) > 0  # it ends without a search for garbage
