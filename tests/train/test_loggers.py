import json
import sys

import pytest

from genkit.errors import GenkitError
from genkit.train import JsonLines, Tensorboard


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_resuming_cuts_a_torn_line_and_later_steps_of_the_phase(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for phase in ("a", "b"):
        log = JsonLines(path, phase)
        for step in (1, 2, 3):
            log.scalars(step, {"loss": step / 2})
        log.close()
    with path.open("a") as file:
        file.write('{"phase": "b", "step": 4, "lo')
    log = JsonLines(path, "b", after=2)
    log.scalars(3, {"loss": float("nan")})
    log.close()
    assert [(row["phase"], row["step"], row["loss"]) for row in rows(path)] == [
        ("a", 1, 0.5), ("a", 2, 1.0), ("a", 3, 1.5), ("b", 1, 0.5), ("b", 2, 1.0), ("b", 3, None),
    ]  # fmt: skip


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GenkitError, match="cannot write .*metrics.jsonl: .*; make room or choose another folder"):
        JsonLines(tmp_path / "file" / "metrics.jsonl", "a")


def test_tensorboard_is_optional(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(GenkitError, match="needs the package tensorboardX"):
        Tensorboard(tmp_path)


def test_tensorboard_writes_events(tmp_path):
    pytest.importorskip("tensorboardX")
    log = Tensorboard(tmp_path)
    log.scalars(1, {"loss": 0.5})
    log.artifact(tmp_path)
    log.close()
    assert [f for f in (tmp_path / "tensorboard").iterdir() if "tfevents" in f.name]
