"""Play random jobs, aborts, recipe changes and lost step: they can hold parts back, and never let one through."""

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.schema.clocks import MS, HostNs
from appliance.schema.command import AbortJob, HaltLine, PrepareRecipe, PurgeDone, ResetFault, StartJob, StopJob
from appliance.schema.part import PartEntered
from appliance.schema.verdict import Disposition
from firmware_bridge import messages as mcu
from tests.unit.line_rig import Rig
from tests.unit.test_line_recipes import NotChanged, changed, warm
from tests.unit.test_line_requests import stats

WISHES = (
    StartJob(single=False, actor="a"),
    StartJob(single=False, actor="a"),
    StartJob(single=True, actor="a"),
    StopJob("a"),
    AbortJob("a"),
    HaltLine("a"),
    ResetFault("a"),
    PurgeDone("a"),
    PrepareRecipe(8, "a"),
)
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.just(0)),
        st.tuples(st.just("enter"), st.just(0)),
        st.tuples(st.just("verdict"), st.integers(0, 9)),
        st.tuples(st.just("verdict"), st.integers(0, 9)),
        st.tuples(st.just("gate"), st.just(0)),
        st.tuples(st.just("wish"), st.integers(0, len(WISHES) - 1)),
        st.tuples(st.just("wish"), st.just(0)),
        st.tuples(st.just("shelf"), st.integers(0, 3)),
        st.tuples(st.just("fault"), st.integers(0, 2)),
        st.tuples(st.just("time"), st.integers(1, 300)),
    ),
    max_size=50,
)


class Twice:
    """Tell the same to a line that clients control and to one that nobody controls."""

    def __init__(self) -> None:
        self.controlled, self.free = Rig(controlled=True).connect(), Rig().connect()
        self.rigs = (self.controlled, self.free)
        self.number = 0
        self.on_belt: list[int] = []

    def act(self, act: str, value: int) -> None:
        match act:
            case "enter":
                self.number += 1
                self.on_belt.append(self.number)
                for rig in self.rigs:
                    rig.enter(self.number)
            case "verdict" if self.on_belt:
                number = self.on_belt[value % len(self.on_belt)]
                said = Disposition.ACCEPT if value < 7 else Disposition.REVIEW
                for rig in self.rigs:
                    part = next(one for one in rig.all(PartEntered) if one.part.number == number)
                    rig.verdict(part, disposition=said, sequence=100 + number)
            case "gate" if self.on_belt:
                self.gate(self.on_belt.pop(0))
            case "wish":
                self.controlled.ask(WISHES[value])
            case "shelf":
                self.shelf(value)
            case "fault":
                self.fault(lost=value == 0)
            case "time":
                self.wait(value)

    def wait(self, ms: int) -> None:
        for rig in self.rigs:
            rig.now += ms * MS
            rig.do(rig.node.wake(HostNs(rig.now)))

    def fault(self, *, lost: bool) -> None:
        state, fault = (mcu.State.FAULT, mcu.Fault.SYNC_LOST) if lost else (mcu.State.ARMED, mcu.Fault.NONE)
        self.controlled.tell(stats(state, fault, self.controlled.node._configure.crc))

    def shelf(self, value: int) -> None:
        told = changed("a") if value == 0 else NotChanged(8, "a", "no")
        self.controlled.tell(told, topic="device:recipes")
        warm(self.controlled, 0x5EED_0008 if value < 3 else 0)

    def gate(self, number: int) -> None:
        for rig in self.rigs:
            accept = last_words(rig).get(number, 0)
            lane = mcu.Lane.ACCEPT if accept else mcu.Lane.REJECT
            cause = mcu.GateCause.ACCEPTED if accept else mcu.GateCause.NO_DECISION
            rig.gate(number, lane, cause, 100 + number if accept else 0)


def last_words(rig: Rig) -> dict[int, int]:
    """Give the last that the gate was told of each part."""
    return {one.part: one.accept for one in rig.all(mcu.Decision)}


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(acts=ACTS)
def test_no_wish_opens_the_gate(acts: list[tuple[str, int]]) -> None:
    """What a controlled line accepts, the verdict rule alone accepts too; and each accept names its job."""
    both = Twice()
    for act, value in acts:
        both.act(act, value)
    controlled, free = last_words(both.controlled), last_words(both.free)
    jobs = {one.part.number: one.job for one in both.controlled.all(PartEntered)}

    assert {part for part, accept in controlled.items() if accept} <= {part for part, accept in free.items() if accept}
    assert all(jobs[part] for part, accept in controlled.items() if accept)
    told = both.controlled.state()
    assert (told.parts, told.rejected) == (told.accepted + told.rejected, told.parts - told.accepted)


def test_some_of_it_passes() -> None:
    """The histories above are no days of rejects only."""
    both = Twice()
    for act in (("wish", 0), ("enter", 0), ("verdict", 0), ("gate", 0)):
        both.act(*act)

    assert ({1: 1}, {1: 1}) == (last_words(both.controlled), last_words(both.free))
