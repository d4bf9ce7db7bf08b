"""A frame that is proven to belong to a part shows that part, whatever is lost, doubled, late, missed or restarted."""

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from appliance.decision import pairing
from appliance.decision.pairing import Pair, Pairing, Proof
from appliance.schema.clocks import MS, CameraNs, EncoderCounts, HostNs, McuTicks, S
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.part import PartExposed, PartId

TOLERANCE = 5 * MS
SPACING = 21 * MS
"""Just over four tolerances: the closest parts the configuration allows."""

COUNTS = 50
"""Belt travel within the tolerance at 1 m/s and 10 counts per mm."""

TAIL = 6
LIFE = 500 * MS


class Fate(Struct, frozen=True):
    """Say what happens to one part's trigger, frame and messages; the defaults are no trouble."""

    trigger: str = "once"
    """`once`, `missed` (the camera does not expose) or `doubled` (it exposes twice, 1 ms apart)."""
    frame_copies: int = 1
    frame_delay_ms: int = 0
    exposed_copies: int = 1
    exposed_delay_ms: int = 0
    camera_error_us: int = 0
    """How far the frame's instant is off; within what it claims."""
    mcu_error_us: int = 0
    vague_ms: int = 0
    """Uncertainty that the frame claims beyond its error, ms."""
    restart: str = ""
    """`camera` or `mcu` restarts before the part."""


class Message(Struct):
    """Hold a message with the part it tells of."""

    at: int
    order: int
    what: FrameReady | PartExposed
    troubled: bool


fates = st.builds(
    Fate,
    trigger=st.sampled_from(["once"] * 6 + ["missed", "doubled"]),
    frame_copies=st.sampled_from([1, 1, 1, 1, 0, 2]),
    frame_delay_ms=st.sampled_from([0, 0, 0, 15, 30, 60, 200, 700]),
    exposed_copies=st.sampled_from([1, 1, 1, 1, 0, 2]),
    exposed_delay_ms=st.sampled_from([0, 0, 0, 15, 30, 60, 200, 700]),
    camera_error_us=st.integers(-2000, 2000),
    mcu_error_us=st.integers(-2000, 2000),
    vague_ms=st.sampled_from([0] * 9 + [3, 8, 40]),
    restart=st.sampled_from([""] * 20 + ["camera", "mcu", "both"]),
)
clean = st.builds(Fate, camera_error_us=st.integers(-1500, 1500), mcu_error_us=st.integers(-1500, 1500))
gaps = st.integers(SPACING, 4 * SPACING)


def frame_of(epoch: int, frame_id: int, at: int, uncertainty: int = 0) -> FrameReady:
    ref = SlotRef(epoch, frame_id % 8, 2 * frame_id + 1)
    mono, counts = PixelFormat.MONO8, FrameCounts()
    return FrameReady(
        "top", ref, frame_id, CameraNs(at), HostNs(at), uncertainty, None, HostNs(at), 1, 1, mono, 1.0, 0.0, 0, counts
    )  # fmt: skip


def exposure_of(boot: int, index: int, at: int, uncertainty: int = 0) -> PartExposed:
    part = PartId(boot, index + 1)
    return PartExposed(part, "top", index, HostNs(at), uncertainty, McuTicks(at // 1000), EncoderCounts(0))


class Belt:
    """Play the parts of a history into messages, and remember which part each frame really shows."""

    def __init__(self, history: list[Fate], spaces: list[int], lie: tuple[int, int] | None = None) -> None:
        """`lie`: number of the part whose frame has a wrong instant, and by how many parts it is wrong."""
        self.shows: dict[tuple[int, int], PartId] = {}
        self.messages: list[Message] = []
        self.real: dict[PartId, int] = {}
        self.troubled = 0
        """Instant of the last part whose trouble may have no message to show it."""
        self._epoch, self._frame_id, self._boot, self._index = 1, 0, 1, 0
        at = 1 * S
        for number, (fate, gap) in enumerate(zip(history, spaces, strict=True)):
            at += gap
            self._part(fate, at, lie[1] * gap if lie and lie[0] == number else 0)
        self.messages.sort(key=lambda message: (message.at, message.order))

    def _part(self, fate: Fate, at: int, lie: int) -> None:
        if fate.restart in {"camera", "both"}:
            self._epoch, self._frame_id = self._epoch + 1, 0
        if fate.restart in {"mcu", "both"}:
            self._boot, self._index = self._boot + 1, 0
        part = PartId(self._boot, self._index + 1)
        self.real[part] = at
        troubled = (fate.trigger, fate.frame_copies, fate.exposed_copies) != ("once", 1, 1) or bool(
            fate.frame_delay_ms or fate.exposed_delay_ms or fate.vague_ms or fate.restart or lie
        )
        if troubled:
            self.troubled = at
        exposed = exposure_of(self._boot, self._index, at + fate.mcu_error_us * 1000, abs(fate.mcu_error_us) * 1000)
        self._index += 1
        for copy in range(fate.exposed_copies):
            self._say(exposed, at + 1 * MS + fate.exposed_delay_ms * MS + copy * 7 * MS, troubled)
        for exposure in range({"once": 1, "missed": 0, "doubled": 2}[fate.trigger]):
            self.shows[self._epoch, self._frame_id] = part
            instant = at + exposure * MS + fate.camera_error_us * 1000 + lie
            frame = frame_of(
                self._epoch, self._frame_id, instant, abs(fate.camera_error_us) * 1000 + fate.vague_ms * MS
            )
            self._frame_id += 1
            for copy in range(fate.frame_copies):
                self._say(frame, at + 4 * MS + fate.frame_delay_ms * MS + copy * 9 * MS, troubled)

    def _say(self, what: FrameReady | PartExposed, at: int, troubled: bool) -> None:
        self.messages.append(Message(at, len(self.messages), what, troubled))

    def run(self, pairs: Pairing) -> list[tuple[int, Pair]]:
        """Hand the messages over in the order of their arrival, and forget old ones as the judge does."""
        told = []
        for message in self.messages:
            pairs.expire(message.at - LIFE)
            what = message.what
            pair = pairs.frame(what) if isinstance(what, FrameReady) else pairs.exposed(what)
            if pair is not None:
                told.append((message.at, pair))
        return told

    def wrong(self, told: list[tuple[int, Pair]]) -> list[Pair]:
        """Give the proven pairs whose frame shows another part."""
        return [
            pair
            for _, pair in told
            if pair.proof is Proof.AGREED and self.shows[pair.frame.ref.epoch, pair.frame.frame_id] != pair.exposed.part
        ]


@st.composite
def days(draw: st.DrawFn) -> tuple[list[Fate], list[int]]:
    """Draw a history and the distance of each part from the one before, ns."""
    history = draw(st.lists(fates, min_size=1, max_size=25))
    history += draw(st.lists(clean, min_size=TAIL, max_size=TAIL))
    return history, draw(st.lists(gaps, min_size=len(history), max_size=len(history)))


lies = st.tuples(
    st.integers(4, 30), st.integers(0, 29), st.sampled_from([-2, -1, 1, 2]), st.sampled_from(["", "camera", "mcu"])
)


def check_truth(day: tuple[list[Fate], list[int]]) -> None:
    """Hold a day's pairs against what the frames really show."""
    belt = Belt(*day)
    told = belt.run(Pairing(TOLERANCE, COUNTS))

    assert [] == belt.wrong(told)
    assert len(told) == len({(pair.frame.ref.epoch, pair.frame.frame_id) for _, pair in told})


def check_recovery(day: tuple[list[Fate], list[int]]) -> None:
    """Count what is lost once a day's trouble is over."""
    history, spaces = day
    quiet = 80
    belt = Belt([*history, *[Fate()] * quiet], [*spaces, *[SPACING] * quiet])
    troubled = max([belt.troubled, *(message.at for message in belt.messages if message.troubled)])
    proven = {pair.exposed.part for _, pair in belt.run(Pairing(TOLERANCE, COUNTS)) if pair.proof is Proof.AGREED}
    after = [part for part, at in belt.real.items() if at > troubled]

    assert len(after) > 3
    assert len([part for part in after if part not in proven]) <= 2


def check_lie(lie: tuple[int, int, int, str]) -> None:
    """Let one frame's instant be wrong by whole parts."""
    count, place, parts, restart = lie
    belt = Belt([Fate(restart=restart), *[Fate()] * (count - 1)], [SPACING] * count, (place % count, parts))

    assert [] == belt.wrong(belt.run(Pairing(TOLERANCE, COUNTS)))


@settings(max_examples=400)
@given(days())
def test_a_proven_pair_is_true(day: tuple[list[Fate], list[int]]) -> None:
    """An AGREED pair joins the frame to the part that was under the camera; each frame pairs once at most."""
    check_truth(day)


@settings(max_examples=300)
@given(days())
def test_it_recovers_within_two_parts(day: tuple[list[Fate], list[int]]) -> None:
    """After the last trouble at most two parts are lost: one to see that the count slipped, one to start it anew."""
    check_recovery(day)


@settings(max_examples=200)
@given(lies)
def test_one_wrong_instant_proves_nothing(lie: tuple[int, int, int, str]) -> None:
    """A frame whose instant is wrong by whole parts is caught by its index."""
    check_lie(lie)


def proofs(messages: list[FrameReady | PartExposed], pairs: Pairing | None = None) -> list[Proof | None]:
    """Give the proof each message leads to."""
    pairs = pairs or Pairing(TOLERANCE, COUNTS)
    told = [pairs.frame(item) if isinstance(item, FrameReady) else pairs.exposed(item) for item in messages]
    return [pair.proof if pair is not None else None for pair in told]


def both(number: int, frame_id: int | None = None, at: int | None = None) -> list[FrameReady | PartExposed]:
    at = number * 50 * MS if at is None else at
    return [exposure_of(1, number, at), frame_of(1, number if frame_id is None else frame_id, at)]


def test_the_first_pair_at_both_origins_is_proven() -> None:
    """Camera and microcontroller started together: exposure 0 is trigger 0."""

    assert [None, Proof.AGREED] * 2 == proofs([*both(0), *both(1)])


def test_the_first_pair_elsewhere_is_unproven() -> None:
    """Without a count to compare with an instant alone proves nothing; the next pair is proven."""

    assert [None, Proof.UNPROVEN, None, Proof.AGREED] == proofs([*both(5, 2), *both(6, 3)])


def test_a_lost_frame_costs_its_part_alone() -> None:
    """The count goes on over a frame that was exposed and lost."""
    lost = [both(1)[0]]

    assert [None, Proof.AGREED, None, None, Proof.AGREED] == proofs([*both(0), *lost, *both(2)])


def test_a_missed_trigger_is_a_mismatch_once() -> None:
    """The camera did not expose: its count slips, the next part is held back, then the count holds again."""

    assert [None, Proof.AGREED, None, None, Proof.MISMATCH, None, Proof.AGREED] == proofs(
        [*both(0), both(1)[0], *both(2, 1), *both(3, 2)]
    )


def test_order_of_arrival_does_not_matter() -> None:
    """A frame may come before its exposure, and a later part's frame before an earlier one's."""
    zero, one = both(0), both(1)

    assert [None, None, Proof.AGREED, Proof.AGREED] == proofs([zero[1], one[1], zero[0], one[0]])


def test_a_doubled_message_gives_nothing() -> None:
    """What was seen before pairs no second time."""
    zero = both(0)

    assert [None, Proof.AGREED, None, None] == proofs([*zero, *zero])


def test_two_frames_for_one_part_are_ambiguous() -> None:
    """A trigger that exposed twice leaves two candidates when the exposure comes last."""
    exposed = exposure_of(1, 0, 0)

    assert [None, None, Proof.AMBIGUOUS] == proofs([frame_of(1, 0, 0), frame_of(1, 1, 1 * MS), exposed])


def test_clocks_known_badly_prove_nothing() -> None:
    """An uncertainty over the tolerance is AMBIGUOUS even when the instants agree to the nanosecond."""

    assert [None, Proof.AMBIGUOUS] == proofs([exposure_of(1, 0, 0), frame_of(1, 0, 0, TOLERANCE + 1)])


def seen_at(number: int, frame_id: int, instant: int) -> list[FrameReady | PartExposed]:
    """Give part `number`, 1000 counts from the next, and its frame with the camera's encoder and a given instant."""
    exposed = replace(exposure_of(1, number, number * 50 * MS), at_counts=EncoderCounts(number * 1000))
    frame = replace(frame_of(1, frame_id, instant), encoder=EncoderCounts(number * 1000 + 7), arrived=HostNs(10 * S))
    return [exposed, frame]


@pytest.mark.parametrize("step", [-1, 1])
def test_a_camera_clock_that_steps_by_a_part_for_good_is_caught_by_the_encoder(step: int) -> None:
    """Without the encoder a clock that is off by one spacing looks like a missed trigger, and is believed next."""
    good = [item for number in range(4) for item in seen_at(number, number, number * 50 * MS)]
    off = [item for number in range(4, 12) for item in seen_at(number, number, (number + step) * 50 * MS)]
    told = proofs([*good, *off])

    assert [Proof.AGREED] * 4 == [proof for proof in told[:8] if proof is not None]
    assert Proof.AGREED not in told[8:]
    assert Proof.MISMATCH in told[8:]


def test_a_missed_trigger_is_no_quarrel_with_the_encoder() -> None:
    """The encoder only vouches for the place; a count that slipped is started anew as without it."""
    missed = [seen_at(1, 1, 50 * MS)[0]]
    later = [item for number in (2, 3) for item in seen_at(number, number - 1, number * 50 * MS)]

    assert [None, Proof.AGREED, None, None, Proof.MISMATCH, None, Proof.AGREED] == proofs(
        [*seen_at(0, 0, 0), *missed, *later]
    )


def test_a_frame_exposed_after_it_arrived_proves_nothing() -> None:
    """Such an instant is a clock's error, whatever it agrees with."""
    exposed, frame = both(0)
    assert isinstance(frame, FrameReady)

    assert [None, Proof.AMBIGUOUS] == proofs([exposed, replace(frame, arrived=HostNs(frame.exposed_at - 1))])


def test_a_frame_outside_the_window_pairs_with_nothing() -> None:
    """The index alone proves nothing."""

    assert [None, None] == proofs([exposure_of(1, 0, 0), frame_of(1, 0, TOLERANCE + 1)])


@pytest.mark.parametrize("restarted", ["camera", "mcu"])
def test_a_restart_starts_the_count_anew(restarted: str) -> None:
    """A new epoch of the camera, or a new boot of the microcontroller, has no count in common with the old one."""
    at = 100 * MS
    camera = [exposure_of(1, 2, at), frame_of(2, 0, at)]
    mcu = [exposure_of(2, 0, at), frame_of(1, 2, at)]

    assert [None, Proof.UNPROVEN] == proofs([*both(0), *both(1), *(camera if restarted == "camera" else mcu)])[4:]


def test_forgetting_gives_the_frames_back() -> None:
    """Each frame that found no part is handed back once, so that its slot is."""
    pairs = Pairing(TOLERANCE, COUNTS)
    frames = [frame_of(1, number, number * 50 * MS) for number in range(3)]
    for frame in frames:
        pairs.frame(frame)

    assert pairs.oldest == 0
    assert frames[:2] == pairs.expire(50 * MS)
    assert [] == pairs.expire(50 * MS)
    assert pairs.oldest == 100 * MS


def turned(old: str, new: str) -> types.ModuleType:
    """Load the pairing with one rule turned round; ValueError when the rule is not found."""
    source = Path(str(pairing.__file__)).read_text("utf-8")
    if source.count(old) != 1:
        raise ValueError(f"pairing: {old!r} occurs {source.count(old)} times, 1 is needed; follow the source")
    module = types.ModuleType("turned_pairing")
    sys.modules[module.__name__] = module
    try:
        exec(compile(source.replace(old, new), module.__name__, "exec"), module.__dict__)  # noqa: S102  our own source
    finally:
        del sys.modules[module.__name__]
    return module


def check_restart(_: object) -> None:
    test_a_restart_starts_the_count_anew("camera")


def check_start(_: object) -> None:
    test_the_first_pair_elsewhere_is_unproven()


RULES: list[tuple[str, str, Callable[..., None], st.SearchStrategy]] = [
    ("Proof.AGREED if known == offset else Proof.MISMATCH", "Proof.AGREED", check_lie, lies),
    ("self._tolerance + _uncertainty(frame, exposed)", "50 * self._tolerance", check_recovery, days()),
    ("matches > 1 or _uncertainty(frame, exposed) > self._tolerance", "False", check_truth, days()),
    ("if self._run != run:", "if self._run is None:", check_restart, st.none()),
    ("if key in self._seen_frames:", "if False:", check_truth, days()),
    ("else Proof.UNPROVEN", "else Proof.AGREED", check_start, st.none()),
]


@pytest.mark.parametrize(
    ("old", "new", "check", "strategy"), RULES, ids=["index", "time", "doubt", "restart", "doubled", "first"]
)
def test_a_rule_turned_round_is_found(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str, check: Callable[..., None], strategy: st.SearchStrategy
) -> None:
    """A guard that no test misses is no guard."""
    module = turned(old, new)
    for name in ("Pairing", "Proof"):
        monkeypatch.setitem(globals(), name, getattr(module, name))
    held = settings(max_examples=1000, derandomize=True, database=None, phases=[Phase.generate])(given(strategy)(check))

    with pytest.raises((AssertionError, ExceptionGroup)):
        held()
