import errno
import os
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from genkit.errors import GenkitError
from genkit.train import checkpoint

STATE = {"w": jnp.arange(6.0).reshape(2, 3), "key": jax.random.key(7), "n": jnp.int32(4), "none": None}
LIKE = jax.eval_shape(lambda: STATE)


def test_round_trip_keeps_the_newest_only(tmp_path):
    checkpoint.save(tmp_path, 5, STATE, {"config": {"lr": 0.1, "widths": (8, 16)}})
    checkpoint.save(tmp_path, 12, {**STATE, "n": jnp.int32(9)}, {"config": {"lr": 0.1, "widths": (8, 16)}})
    (tmp_path / "13.orbax-checkpoint-tmp").mkdir()  # what a killed process leaves
    assert checkpoint.latest(tmp_path) == 12
    state, meta = checkpoint.restore(tmp_path, LIKE, {"lr": 0.1, "widths": (8, 16)})
    np.testing.assert_array_equal(state["w"], STATE["w"])
    assert state["n"] == 9 and state["none"] is None and meta["step"] == 12
    assert (jax.random.key_data(state["key"]) == jax.random.key_data(STATE["key"])).all()
    checkpoint.save(tmp_path, 14, STATE, {})
    assert {p.name for p in tmp_path.iterdir()} == {"14", "14.json"}


def test_what_differs_is_named(tmp_path):
    checkpoint.save(tmp_path, 5, STATE, {"config": {"lr": 0.1, "width": 8}})
    with pytest.raises(GenkitError, match="another configuration: width is 8 there, 16 is asked for"):
        checkpoint.restore(tmp_path, LIKE, {"lr": 0.1, "width": 16})
    other = {**LIKE, "w": jax.ShapeDtypeStruct((2, 4), jnp.float32)}
    with pytest.raises(GenkitError, match=r"does not fit: w is float32 \(2, 3\) there, float32 \(2, 4\) is asked for"):
        checkpoint.restore(tmp_path, other)
    with pytest.raises(GenkitError, match="does not fit: extra is absent there"):
        checkpoint.restore(tmp_path, {**LIKE, "extra": LIKE["w"]})
    with pytest.raises(GenkitError, match="there is no checkpoint in"):
        checkpoint.restore(tmp_path / "nowhere", LIKE)


@pytest.mark.parametrize("stage", ["save", "half"])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch, stage):
    checkpoint.save(tmp_path, 5, STATE, {})

    def full(*args, **kwargs):
        if stage == "half":  # the storage layer has begun to write
            (tmp_path / "6.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
            raise ValueError("RESOURCE_EXHAUSTED: Error writing file: No space left on device")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(ocp.Checkpointer, "save", full)
        with pytest.raises(GenkitError, match="cannot write checkpoint .*/6: .*No space left.*step 5 is intact"):
            checkpoint.save(tmp_path, 6, STATE, {})
    state, meta = checkpoint.restore(tmp_path, LIKE)
    assert meta["step"] == 5
    np.testing.assert_array_equal(state["w"], STATE["w"])
    checkpoint.save(tmp_path, 6, STATE, {})
    assert {p.name for p in tmp_path.iterdir()} == {"6", "6.json"}


def test_too_little_room_is_seen_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: SimpleNamespace(free=3))
    with pytest.raises(GenkitError, match="no space left on device: .* no earlier checkpoint exists"):
        checkpoint.save(tmp_path, 1, STATE, {})


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GenkitError, match="cannot write checkpoint .*Not a directory"):
        checkpoint.save(tmp_path / "file" / "last", 1, STATE, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(GenkitError, match="cannot write checkpoint .*Permission denied"):
        checkpoint.save(tmp_path / "last", 1, STATE, {})


def flip(folder):
    """Change a byte in the middle of the largest file of a checkpoint."""
    file = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    for step in (5, 6, 7):
        checkpoint.save(tmp_path, step, STATE, {}, keep=2)
    assert {p.name for p in tmp_path.iterdir()} == {"6", "6.json", "7", "7.json"}
    assert checkpoint.usable(tmp_path) == (7, "")
    flip(tmp_path / "7")
    with pytest.raises(GenkitError, match=r"checkpoint .*/7 is damaged \(.* differs from what was written\)"):
        checkpoint.restore(tmp_path, LIKE)
    step, said = checkpoint.usable(tmp_path)
    assert step == 6 and f"{tmp_path / '7'} is damaged" in said
    assert checkpoint.restore(tmp_path, LIKE)[1]["step"] == 6
    flip(tmp_path / "6")
    with pytest.raises(GenkitError, match=f"6 is damaged .* delete {tmp_path} to train from the start"):
        checkpoint.usable(tmp_path)
    checkpoint.save(tmp_path, 8, STATE, {})
    assert {p.name for p in tmp_path.iterdir()} == {"8", "8.json"}


def test_a_checkpoint_without_checksums_is_read_or_named(tmp_path):
    checkpoint.save(tmp_path, 5, STATE, {})
    (tmp_path / "5.json").unlink()
    assert checkpoint.usable(tmp_path) == (5, "")
    next((tmp_path / "5").rglob("meta/metadata")).write_text("")
    with pytest.raises(GenkitError, match="cannot read checkpoint .*/5: .*; if it is damaged, delete it"):
        checkpoint.metadata(tmp_path)
