import io

import pytest
from rich.console import Console

from genkit.train import progress


@pytest.mark.parametrize("terminal", [True, False])
def test_shows_step_loss_and_speed(monkeypatch, terminal):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock[0])
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with progress.Show("net", 1000, console=console) as show:
        show.restart(0)
        for step in range(1, 301):
            clock[0] += 0.1
            show.update(step, 0.25)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    if terminal:
        assert "net" in text and "300/1000" in text and "10 steps/s" in text and "loss 0.25" in text
    else:
        lines = text.splitlines()
        assert len(lines) == 2 or len(lines) == 3
        assert lines[0].startswith("net: step 10") and lines[0].endswith("10 steps/s  loss 0.25  90 s left")


def test_is_silent_when_off():
    console = Console(file=io.StringIO(), force_terminal=True)
    with progress.Show("net", 10, on=False, console=console) as show:
        show.say("compiled")
        show.update(10, 0.1)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
