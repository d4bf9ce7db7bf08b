"""Count what a simulated line does with thousands of parts on bad days: each is answered, none passes by a fault."""

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from msgspec import Struct
from msgspec.structs import replace

from appliance.ports.node import Output
from appliance.schema.actuation import Lane
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import DecidePart, RefusedReply, Reply
from appliance.schema.frame import FrameReady
from appliance.schema.part import PartEntered, PartId
from appliance.schema.policy import Mode, Policy
from appliance.schema.verdict import Verdict
from appliance.services._authority import ModelDecides
from appliance.services._review_desk import ReviewDesk
from appliance.services.judge import JudgeNode
from appliance.services.line import LineNode
from appliance.services.record import IMAGES, RecordNode
from appliance.sim.line_world import HEAD_START, SIGNED, LineWorld, Trouble
from appliance.sim.person_twin import Habits
from appliance.sim.scenario import Action, BusFaults
from appliance.sim.store_twin import HOLD_NS, ClockTwin, DiskTwin, ImagesTwin
from appliance.storage.image_plan import ImagePlan
from appliance.storage.record_store import RecordStore
from bench import million
from bench.histories import History, draw
from bench.observed import FORBIDDEN, Observer
from firmware_bridge.build import CORE, build_core
from tests.line.test_inversion import CORE_RULES

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
SHORT = (400, 600)
HARD_DAY = History(
    seed=7,
    parts=600,
    rate_hz=10.0,
    trouble=Trouble(bus=BusFaults(0.01, 0.02, 360 * MS), overwritten=0.02, slow_model=0.05, model_ns=30 * MS),
    actions=(
        *(Action(second * S, "incomplete", "top", 0, 2) for second in range(1, 59, 2)),
        Action(4 * S, "kill", "judge"),
        Action(6 * S, "kill", "line"),
        Action(9 * S, "freeze", "line", 400 * MS),
        Action(11 * S, "kill", "record"),
    ),
    fills=((2 * S, 10 * S),),
    policy=Policy(sample_share=0.0),
    mode=Mode.PRIMARY,
    habits=None,
    has_encoder=True,
)


def forbidden(told: million.Told) -> dict[str, int]:
    """Give what should be nought and is not."""
    return {name: count for name in FORBIDDEN if (count := getattr(told.account, name))}


def test_three_thousand_triggers() -> None:
    """Whatever dies, fills up or comes late, each trigger is answered once and nothing forbidden happens."""
    told = million.play_chunk(build_core(BUILD), 900_001, 6, SHORT)

    assert {} == forbidden(told)
    assert [] == told.breaches
    assert told.account.triggers == told.account.answers + told.account.forgotten
    assert told.account.triggers > 2400
    assert told.account.accepted > told.account.good // 10
    assert told.disk_full > 0


@pytest.mark.slow
def test_fifty_thousand_triggers() -> None:
    """The same for more days than one looks at by hand."""
    told = million.play_chunk(build_core(BUILD), 910_001, 100, SHORT)

    assert {} == forbidden(told)
    assert [] == told.breaches
    assert told.account.triggers == told.account.answers + told.account.forgotten
    assert told.account.triggers > 45_000
    assert {"late", "host_lost", "fault", "old_session", "plc_not_ready"} <= told.causes.keys()


def test_in_parallel_mode_the_model_moves_nothing() -> None:
    """With a person at the gate no part passes without that person's word in time, and the model says nothing aloud."""
    history = replace(draw(31, SHORT), mode=Mode.PARALLEL, habits=Habits())
    told, _ = million.play(history, build_core(BUILD))

    assert {} == forbidden(told)
    assert [] == told.breaches
    assert {} == told.verdicts
    assert told.account.accepted > 0


class FillingStore:
    """Be the real store on a disk that is full at times."""

    def __init__(self, store: RecordStore, disk: DiskTwin) -> None:
        self._store = store
        self.blobs = disk

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def write(self, *given: object) -> object:
        self.blobs.check_space()
        return self._store.write(*given)

    def image_rows(self, *given: object) -> None:
        self.blobs.check_space()
        self._store.image_rows(*given)


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder in memory where there is one: the store waits for the disk at every turn."""
    memory = Path("/dev/shm")  # noqa: S108
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


def test_a_full_disk_costs_decisions_and_opens_nothing(quick_folder: Path) -> None:
    """What a person says while nothing can be kept is refused, and its part is rejected; before and after it counts."""
    world = LineWorld(build_core(BUILD), 200, 20.0, 3, mode=Mode.PARALLEL)
    observer, disk = Observer(world), DiskTwin()
    store = RecordStore(quick_folder, 0)
    desk = ReviewDesk(store, Policy(), Mode.PARALLEL, (), world.random.getrandbits)
    plan = ImagePlan(1.0, HOLD_NS)
    clock = ClockTwin(lambda: world.world.now)
    node = RecordNode(FillingStore(store, disk), plan, clock, "simulated", "none", 0, desk)
    world.world.units["record"].factory = lambda _: (node, {IMAGES: ImagesTwin(disk)})
    replies: dict[PartId, Reply] = {}

    def decide(part: PartId) -> None:
        wish = DecidePart(part, accept=True, kind="good", person="op-1", seconds=0.06)
        world.world.ask("record", wish, lambda reply: replies.__setitem__(part, reply))

    def look(now: HostNs, _: str, message: Struct) -> None:
        if isinstance(message, PartEntered):
            world.world.at(HostNs(now + 60 * MS), lambda: decide(message.part))

    world.world.listeners.append(look)
    for at, full in ((4 * S, True), (7 * S, False)):
        world.world.at(HostNs(world.world.now + HEAD_START + at), partial(setattr, disk, "full", full))
    world.play()
    store.close()
    refused = {part for part, reply in replies.items() if isinstance(reply, RefusedReply)}
    lanes = {told.part: told.lane for all_told in world.actuations.values() for told in all_told}

    assert 200 == len(replies)
    assert 40 < len(refused) < 80
    assert {part: Lane.REJECT if part in refused else Lane.ACCEPT for part in replies} == lanes
    assert [] == world.breaches()
    assert {} == {name: count for name in FORBIDDEN if (count := getattr(observer.account(), name))}


class LoudJudge(JudgeNode):
    """Say aloud what should be sealed."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **{**named, "primary": SIGNED})


class ModelsLine(LineNode):
    """Let the model drive the gate, whoever should."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **{**named, "authority": ModelDecides(SIGNED)})


def test_a_gate_that_follows_the_model_is_counted() -> None:
    """A model that speaks aloud in parallel mode is caught by the counters, and so is a line that listens to it."""
    history = replace(HARD_DAY, trouble=Trouble(), actions=(), mode=Mode.PARALLEL, habits=Habits(absent=0.5))
    loud, _ = million.play(history, build_core(BUILD), judge=LoudJudge)
    led, _ = million.play(history, build_core(BUILD), line=ModelsLine, judge=LoudJudge)

    assert forbidden(loud).keys() == {"model_in_the_open"}
    assert forbidden(led).keys() >= {"model_in_the_open", "accepted_without_verdict"}


def test_a_seed_names_a_history() -> None:
    """A breach that was found can be played again."""
    first, again = (million.play_chunk(build_core(BUILD), 17, 1, SHORT) for _ in range(2))
    first.cpu_s = again.cpu_s = 0.0

    assert first == again


def test_the_line_does_not_notice_a_full_disk() -> None:
    """With room and without, each part meets the gate at the same tick, in the same lane and for the same reason."""
    calm = replace(draw(23, SHORT), trouble=Trouble(), fills=(), mode=Mode.PRIMARY, habits=None)
    full = replace(calm, fills=((1 * S, 3600 * S),))
    with_room, without = (million.play(history, build_core(BUILD)) for history in (calm, full))

    assert 0 == with_room[0].disk_full < without[0].disk_full
    assert at_the_gate(with_room[1]) == at_the_gate(without[1])
    assert with_room[0].account == without[0].account


def at_the_gate(world: LineWorld) -> list[tuple[object, ...]]:
    return [
        (part, one.lane, one.cause, one.disposition, one.at_tick)
        for part, told in sorted(world.actuations.items())
        for one in told
    ]


class TimelessLine(LineNode):
    """Take every verdict for one that came in time."""

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        return super().receive(topic, message, HostNs(0) if isinstance(message, Verdict) else now)


class CarelessJudge(JudgeNode):
    """Judge half a frame like a whole one."""

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        return super().receive(
            topic, replace(message, complete=True) if isinstance(message, FrameReady) else message, now
        )


def test_the_hard_day_breaks_nothing_by_itself() -> None:
    """What the counters catch below is caught because of the rule turned round."""
    told, _ = million.play(HARD_DAY, build_core(BUILD))

    assert {} == forbidden(told)
    assert [] == told.breaches
    assert told.account.triggers == told.account.answers


def test_late_accepts_are_counted() -> None:
    """A line that lets no verdict be late is caught by the counters, and its microcontroller opens for some."""
    told, _ = million.play(HARD_DAY, build_core(BUILD), line=TimelessLine)

    assert forbidden(told).keys() >= {"late_accepts_handed", "late_accepts_acted_on"}


def test_accepts_from_a_fault_are_counted() -> None:
    """A judge that accepts what an incomplete frame shows is caught by the counters."""
    told, _ = million.play(HARD_DAY, build_core(BUILD), judge=CarelessJudge)

    assert "accepts_from_a_fault" in forbidden(told)


@pytest.mark.parametrize(("old", "new"), CORE_RULES, ids=["open_by_default", "open_without_a_decision"])
def test_a_gate_that_stays_open_is_counted(tmp_path: Path, old: str, new: str) -> None:
    """A microcontroller that keeps its gate open while the host is dead is caught by the counters."""
    folder = tmp_path / "core"
    shutil.copytree(CORE, folder)
    source = (folder / "parts.c").read_text("utf-8")
    (folder / "parts.c").write_text(source.replace(old, new), "utf-8")
    told, _ = million.play(HARD_DAY, build_core(tmp_path, core=folder))

    assert source.count(old) == 1
    assert "accepted_without_verdict" in forbidden(told)
