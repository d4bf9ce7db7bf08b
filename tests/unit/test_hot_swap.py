"""Protect the swap of bundles: made ready beside the running one, swapped between two parts, and back in an instant."""

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from msgspec import Struct

from appliance.ports.node import Output, Publish, Send
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import HostNs
from appliance.schema.command import Accepted, ActivateBundle, RefusedReply, Reply, RollbackBundle, StageBundle
from appliance.schema.errors import RuntimeFault
from appliance.schema.health import Alarm, Component, Condition
from appliance.schema.limits import Limits
from appliance.services._bundles import STAGER, Bundles
from appliance.services._staging import (
    BACKGROUND,
    ORDINARY,
    Answer,
    BundleStager,
    Retire,
    Stage,
    Staged,
    StagingFailed,
    StagingStep,
)

NOW = HostNs(1)
ACTOR = "operator-7"
PATIENCE_S = 20.0


class Model:
    """Be a bundle by its name alone."""

    runtime, precision, limits = "twin", "f32", Limits(1.0, 1.0)

    def __init__(self, bundle: str) -> None:
        self.bundle = bundle


@pytest.fixture
def bundles() -> Bundles:
    return Bundles(Model("sha256:a"))


def stage(bundles: Bundles, name: str) -> list[Output]:
    """Stage a bundle to its end."""
    _, outputs = bundles.command(StageBundle(name, ACTOR))
    return [*outputs, *bundles.answer(Staged(name, Model(f"sha256:{name}")), NOW)]


def audits(outputs: Sequence[Output]) -> list[tuple[str, str, str, str, str]]:
    said = [one.message for one in outputs if isinstance(one, Publish) and isinstance(one.message, AuditRequest)]
    return [(one.actor, one.action, one.subject, one.before, one.after) for one in said]


def reason(answer: tuple[Reply, Sequence[Output]]) -> str:
    """Give the one line of a refusal, which changes and says nothing."""
    reply, outputs = answer

    assert isinstance(reply, RefusedReply)
    assert () == outputs
    assert len(reply.reason.splitlines()) == 1
    return reply.reason


def state(bundles: Bundles) -> tuple[str, str | None]:
    return bundles.active.bundle, bundles.previous and bundles.previous.bundle


def test_a_swap_takes_the_staged_and_keeps_the_one_before(bundles: Bundles) -> None:
    """Staging changes nothing; activating and rolling back are at once, and the audit chain says who and what."""
    said = stage(bundles, "b")
    staged = state(bundles)
    activated, outputs = bundles.command(ActivateBundle("sha256:b", ACTOR))
    said += outputs
    active = state(bundles)
    back, outputs = bundles.command(RollbackBundle("operator-8"))
    said += outputs

    assert (("sha256:a", None), ("sha256:b", "sha256:a")) == (staged, active)
    assert ("sha256:a", "sha256:b") == state(bundles)
    assert (Accepted("sha256:b"), Accepted("sha256:a")) == (activated, back)
    assert [Send(STAGER, Stage("b"))] == [one for one in said if isinstance(one, Send)]
    assert [
        (ACTOR, "bundle_staging_asked", "b", "", ""),
        (ACTOR, "bundle_staged", "b", "", "sha256:b"),
        (ACTOR, "bundle_activated", "judge", "sha256:a", "sha256:b"),
        ("operator-8", "bundle_rolled_back", "judge", "sha256:b", "sha256:a"),
    ] == audits(said)


def test_a_rollback_can_be_taken_back(bundles: Bundles) -> None:
    """Both bundles stay warm, whichever is active."""
    stage(bundles, "b")
    bundles.command(ActivateBundle("b", ACTOR))
    bundles.command(RollbackBundle(ACTOR))
    bundles.command(RollbackBundle(ACTOR))

    assert ("sha256:b", "sha256:a") == state(bundles)


def test_wishes_that_make_no_sense_are_refused_in_one_line(bundles: Bundles) -> None:
    """The active bundle stays, and the line says what to do instead."""
    nothing = reason(bundles.command(ActivateBundle("b", ACTOR)))
    no_way_back = reason(bundles.command(RollbackBundle(ACTOR)))
    nobody = reason(bundles.command(StageBundle("b", "")))
    bundles.command(StageBundle("b", ACTOR))
    bundles.answer(StagingStep("b", "loading and warming"), NOW)
    twice = reason(bundles.command(StageBundle("c", ACTOR)))
    early = reason(bundles.command(ActivateBundle("b", ACTOR)))
    bundles.answer(Staged("b", Model("sha256:b")), NOW)
    other = reason(bundles.command(ActivateBundle("sha256:c", ACTOR)))

    assert nothing == "b: nothing is staged; stage it first"
    assert no_way_back == "no bundle was active before this one; stage the one you want"
    assert nobody == "StageBundle without an actor; say who asks"
    assert twice == "b is being staged (loading and warming); ask again after it"
    assert early == "b: nothing is staged yet, b is on its way (loading and warming); stage it first"
    assert other == "sha256:c: staged is sha256:b from b; name that or stage yours"
    assert ("sha256:a", None) == state(bundles)


def test_a_bundle_that_fails_leaves_the_active_one(bundles: Bundles) -> None:
    """The failure is an alarm and an audit entry; the next staging begins afresh."""
    bundles.command(StageBundle("b", ACTOR))
    said = bundles.answer(StagingFailed("b", "model.onnx has another SHA-256; install it again"), NOW)
    failure = "b cannot be used: model.onnx has another SHA-256; install it again"
    refused = reason(bundles.command(ActivateBundle("b", ACTOR)))
    shown = bundles.components()
    stage(bundles, "c")

    assert [(ACTOR, "bundle_refused", "b", "", "model.onnx has another SHA-256; install it again")] == audits(said)
    assert [Alarm("judge", "bundle_refused", failure, at=NOW)] == [
        one.message for one in said if isinstance(one, Publish) and isinstance(one.message, Alarm)
    ]
    assert f"b: nothing is staged, {failure}; stage it first" == refused
    assert (Component("bundle", Condition.OK, "sha256:a"), Component("staging", Condition.OK, failure)) == shown
    assert Component("staging", Condition.OK, "sha256:c from c is ready to be activated") == bundles.components()[1]


def test_staging_anew_drops_what_was_staged(bundles: Bundles) -> None:
    """What is activated is what was staged last; memory holds one staged bundle at most."""
    stage(bundles, "b")
    bundles.command(StageBundle("c", ACTOR))

    assert bundles.staged is None
    assert "c is on its way" in reason(bundles.command(ActivateBundle("b", ACTOR)))


def test_what_nobody_uses_any_more_is_given_to_the_stager(bundles: Bundles) -> None:
    """To give a bundle back takes longer than the loop has: the one before the last, and a staged one given up."""
    first = bundles.active
    stage(bundles, "b")
    bundles.command(ActivateBundle("b", ACTOR))
    stage(bundles, "c")
    given_up = bundles.staged.inspector
    _, restaged = bundles.command(StageBundle("d", ACTOR))
    bundles.answer(Staged("d", Model("sha256:d")), NOW)
    _, activated = bundles.command(ActivateBundle("d", ACTOR))

    assert [given_up] == [
        one.message.inspector for one in restaged if isinstance(one, Send) and one.message != Stage("d")
    ]
    assert [Send(STAGER, Retire(first))] == [one for one in activated if isinstance(one, Send)]
    assert ("sha256:d", "sha256:b") == state(bundles)


def test_an_answer_to_another_wish_is_not_taken(bundles: Bundles) -> None:
    """Only the bundle that was asked for last can become the staged one."""
    bundles.command(StageBundle("b", ACTOR))

    assert () == bundles.answer(Staged("c", Model("sha256:c")), NOW)
    assert bundles.staged is None


def test_a_fault_belongs_to_its_bundle(bundles: Bundles) -> None:
    """A part of the bundle before that fails after a swap does not put the new one in doubt."""
    stage(bundles, "b")
    old = bundles.active
    bundles.command(ActivateBundle("b", ACTOR))
    bundles.failed(old, "no memory")
    after_swap = bundles.components()[0]
    bundles.command(RollbackBundle(ACTOR))

    assert Component("bundle", Condition.OK, "sha256:b") == after_swap
    assert (Condition.DEGRADED, "no memory") == (bundles.components()[0].condition, bundles.components()[0].cause)


@pytest.fixture
def stagers() -> Iterator[Callable[..., BundleStager]]:
    made: list[BundleStager] = []

    def make(*arguments: object) -> BundleStager:
        made.append(BundleStager(*arguments))
        return made[-1]

    yield make
    for stager in made:
        stager.close()


def answers(stager: BundleStager, path: str) -> list[Answer]:
    """Ask for one bundle and wait for its end; TimeoutError when there is none."""
    stager.write(Stage(path), NOW)
    got: list[Answer] = []
    end = time.monotonic() + PATIENCE_S
    while not any(isinstance(one, Staged | StagingFailed) for one in got):
        if not select.select([stager.fileno()], [], [], max(0, end - time.monotonic()))[0]:
            raise TimeoutError(f"no end after {got}")
        got += stager.read(NOW)
    return got


def fail(error: BaseException) -> Model:
    raise error


def test_the_stager_loads_in_a_thread_of_low_priority(stagers: Callable[..., BundleStager]) -> None:
    """The judge's own thread keeps its priority; the bundle that is handed over is the one that was loaded."""
    seen: list[tuple[int, int]] = []

    def load(path: str) -> Model:
        seen.append((threading.get_ident(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
        return Model(f"sha256:{path}")

    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    step, staged = answers(stagers(load), "b")

    assert StagingStep("b", "loading and warming") == step
    assert isinstance(staged, Staged)
    assert ("b", "sha256:b") == (staged.path, staged.inspector.bundle)
    assert [BACKGROUND] == [priority for _, priority in seen]
    assert seen[0][0] != threading.get_ident()
    assert own == os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.parametrize("nice", [BACKGROUND, ORDINARY])
def test_threads_of_a_runtime_inherit_the_stagers_priority(stagers: Callable[..., BundleStager], nice: int) -> None:
    """A runtime with worker threads is loaded at ordinary priority, since its workers judge parts later."""
    seen: list[int] = []

    def load(path: str) -> Model:
        worker = threading.Thread(
            target=lambda: seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        )
        worker.start()
        worker.join()
        return Model(path)

    answers(stagers(load, None, nice), "b")

    assert [nice] == seen


def test_a_retired_bundle_is_given_back_by_the_stagers_thread(stagers: Callable[..., BundleStager]) -> None:
    """The next staging begins with it, in the thread that has the time."""
    dropped: list[int] = []

    class Heavy(Model):
        def __del__(self) -> None:
            dropped.append(threading.get_ident())

    stager = stagers(Model)
    stager.write(Retire(Heavy("sha256:a")), NOW)
    before = list(dropped)
    answers(stager, "b")

    assert [] == before
    assert [True] == [thread != threading.get_ident() for thread in dropped]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeFault("bundle b: model.onnx is changed; install it again"), "bundle b: model.onnx is changed; install"),
        (ValueError("a bug of a library"), "a bug of a library"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_whatever_a_load_raises_is_an_answer(
    stagers: Callable[..., BundleStager], error: BaseException, expected: str
) -> None:
    """A bundle from elsewhere may find a bug in any library; it costs its own staging and never the judge."""
    stager = stagers(lambda _: fail(error))
    failed = answers(stager, "b")[-1]
    again = answers(stager, "b")[-1]

    assert isinstance(failed, StagingFailed)
    assert failed.reason.startswith(expected)
    assert failed == again


PROOF = "import sys, os, signal; {}"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("sys.stderr.write('noise\\nbundle b: tensor map differs; build it again\\n'); sys.exit(1)",
         "bundle b: tensor map differs; build it again"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "bundle b: its proof died of SIGSEGV; build the bundle again"),
        ("sys.exit(3)", "bundle b: its proof ended with 3 and no word; build the bundle again"),
    ],
)  # fmt: skip
def test_a_bundle_is_proven_elsewhere_first(stagers: Callable[..., BundleStager], program: str, expected: str) -> None:
    """A bundle that makes a native library crash takes the process of its proof along and not the judge."""
    loaded: list[str] = []
    stager = stagers(loaded.append, lambda _: [sys.executable, "-c", PROOF.format(program)])
    step, failed = answers(stager, "b")

    assert StagingStep("b", "proving it in a process of its own") == step
    assert StagingFailed("b", expected) == failed
    assert [] == loaded


def test_a_proven_bundle_is_loaded(stagers: Callable[..., BundleStager]) -> None:
    """The proof says nothing when all is well."""
    stager = stagers(Model, lambda path: [sys.executable, "-c", "import sys", path])
    got = answers(stager, "b")

    assert [StagingStep, StagingStep, Staged] == [type(one) for one in got]


def test_a_judge_that_stops_ends_the_proof(stagers: Callable[..., BundleStager]) -> None:
    """No process outlives the judge, and the judge does not wait for one."""
    stager = stagers(Model, lambda _: [sys.executable, "-c", "import time; time.sleep(600)"])
    stager.write(Stage("b"), NOW)
    select.select([stager.fileno()], [], [], PATIENCE_S)
    stager.close()
    stager.close()

    assert -1 == stager.fileno()
    assert StagingFailed in [type(one) for one in stager.read(NOW)]


def test_a_quiet_stager_says_nothing(stagers: Callable[..., BundleStager]) -> None:
    """It wants no turn by the clock and takes no message but its own."""
    stager = stagers(Model)
    stager.write(Struct(), NOW)

    assert (None, ()) == (stager.wake_at, stager.read(NOW))
