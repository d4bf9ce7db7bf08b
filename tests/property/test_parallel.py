"""In parallel mode the gate never follows the model: whatever it says, the gate's trace is the same, bit for bit."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from appliance.schema.actuation import Cause
from tests.property.parallel_history import History, Model, faults

GATE, PROOF = 5_000, 100_000
CHUNK = 500


def broken(first: int) -> list[tuple[int, list[str]]]:
    """Give the seeds of a chunk that went wrong; called in a process of the pool."""
    told = ((seed, faults(seed)) for seed in range(first, first + CHUNK))
    return [(seed, found) for seed, found in told if found]


@pytest.mark.parametrize("histories", [GATE, pytest.param(PROOF, marks=pytest.mark.slow)], ids=["5000", "100000"])
def test_the_gate_never_follows_the_model(histories: int) -> None:
    """Accepts are ordered for parts that a person accepted in time, and the model changes no byte of the trace."""
    workers = min(2, len(os.sched_getaffinity(0)))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        wrong = [one for chunk in pool.map(broken, range(0, histories, CHUNK)) for one in chunk]

    assert [] == wrong


def test_the_histories_are_worth_their_number() -> None:
    """Of 500 histories parts pass, are rejected by people, come too late, find nobody, and meet restarts."""
    played = [History(seed, Model.RANDOM).play() for seed in range(500)]
    causes = {one.cause for history in played for one in history.stated}
    opened = sum(len(history.opened) for history in played)
    parts = sum(len(history.closes) for history in played)

    assert {Cause.OPERATOR, Cause.NO_VERDICT, Cause.LATE, Cause.OLD_SESSION, Cause.FAULT} <= causes
    assert Cause.ACCEPTED not in causes
    assert parts // 6 < opened < parts // 2
