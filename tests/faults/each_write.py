"""A kill before each change to a file, and in the middle of each write; power cuts likewise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import calls
from calls import Watch
from forked import start
from recorded import Recording, State, distinct, key, put_back
from same_run import RUN, Wanted, after, go_on, newest_whole, prepare
from trials import Trial

from rftkit.runs.run import RunFolder


def kills(recording: Recording, wanted: Wanted) -> list[Trial]:
    """Go on from what a kill at each moment leaves."""
    return [_trial("kill", state, recording, wanted) for state in distinct(recording.writes)]


def cuts(recording: Recording, wanted: Wanted) -> list[Trial]:
    """Go on from what a power cut at each moment leaves, on each kind of disk.

    Without what a kill leaves as well, which `kills` tries.
    """
    tried = {key(state) for state in recording.writes}
    return [
        _trial(kind, state, recording, wanted)
        for kind, states in recording.cuts.items()
        for state in distinct(states)
        if key(state) not in tried
    ]


def _trial(group: str, state: State, recording: Recording, wanted: Wanted) -> Trial:
    def attempt(folder: Path) -> Sequence[str]:
        prepare(folder, wanted.method, wanted.steps)
        put_back(state, recording, folder)
        lost = state.last - newest_whole(RunFolder(folder / RUN))
        if lost > wanted.save_every:
            return [f"{lost} steps are lost, where it saves every {wanted.save_every}"]
        return after(go_on(folder, wanted), folder, wanted)

    return Trial(group, f"{group}: {state.words}", attempt)


def killed_at(folder: Path, wanted: Wanted, number: int, half: bool = False) -> str:
    """Train, and kill -9 at the change of that number; what it was about to do, in words."""
    watch = Watch(folder)
    child, words = start(wanted.words, folder, watch.begin), ""
    for count, call in enumerate(watch.calls()):
        if count == number:
            words = call.words
            if half and call.name in calls.WRITES:
                calls.write_half(call)
            calls.kill(call)
    child.wait()
    return words
