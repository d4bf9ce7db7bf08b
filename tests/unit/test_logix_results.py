"""What a controller is shown says good for an accepted part and for nothing else, one numbered result at a time."""

import math
import xml.etree.ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.outputs.logix_results import HARMFUL, HELD, SILENCE, Results, probes
from appliance.outputs.logix_type import (
    FILE,
    LANES,
    LARGEST,
    LAYOUT,
    MEMBERS,
    MODES,
    SIZE,
    l5x,
    pack,
    unpack,
)
from appliance.outputs.plc.registers import CAUSE_CODES, DISPOSITION_CODES
from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import S
from appliance.schema.line import JobMode, LineState
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from tests.contract.sparkplug_rig import report

NOW = 100 * S
FRESH = unpack(bytes(SIZE))
LINE = LineState(at=NOW, mode=JobMode.CONTINUOUS, handshake="ready", ready=True)


def part(number, boot=7):
    return msgspec.structs.replace(report(number, 0), part=PartId(boot, number))


def begun(seen=FRESH, acknowledged=0):
    results = Results()
    results.begin(seen, acknowledged)
    return results


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("lane", list(Lane))
@pytest.mark.parametrize("disposition", list(Disposition))
def test_good_and_reject_are_opposites_of_one_truth(cause, lane, disposition):
    """Good is 1 for an ACCEPT in hand in time alone; every other result is a reject."""
    results = begun()
    results.offer(msgspec.structs.replace(part(1), cause=cause, lane=lane, disposition=disposition))
    image = results.image(NOW)
    good = lane is Lane.ACCEPT and disposition is Disposition.ACCEPT and cause in {Cause.ACCEPTED, Cause.OPERATOR}

    assert (int(good), int(not good)) == (image["Good"], image["Reject"])


def test_codes_are_complete_and_zero_is_never_good():
    """Every word of ours has a code, and memory full of zeros says no verdict, reject lane, halted."""
    zero = unpack(bytes(SIZE))

    assert ({*Disposition}, {*Cause}) == (set(DISPOSITION_CODES), set(CAUSE_CODES))
    assert ({*Lane}, {*JobMode}) == (set(LANES), set(MODES))
    assert {0.0} == set(zero.values())
    assert (0, 0, 0) == (DISPOSITION_CODES[Disposition.NO_VERDICT], LANES[Lane.REJECT], MODES[JobMode.HALTED])
    assert 0 not in CAUSE_CODES.values()


def test_a_result_stays_until_its_number_comes_back():
    """No number but the shown result's own moves on; then nothing good is left behind."""
    results = begun()
    results.offer(part(1))
    results.offer(part(2))
    first = results.image(NOW)
    for number in (0, 2, 5, -1):
        results.acknowledged(number)
    again = results.image(NOW)
    results.acknowledged(1)
    second = results.image(NOW)
    results.acknowledged(2)
    nothing = results.image(NOW)

    assert [(1, 1, 1), (1, 1, 1), (2, 2, 1), (0, 2, 0)] == [
        (image.get("Sequence", 0), image["PartNumber"], image.get("Good", 0))
        for image in (first, again, second, nothing)
    ]
    assert {0} == {nothing.get(name, 0) for name in ("Good", "Reject", "Disposition", "Lane")}
    assert all(image["Sequence"] == image["SequenceCheck"] for image in (first, again, second))


@given(st.lists(st.sampled_from(["part", "again", "take", "write"]), max_size=200))
def test_every_part_is_taken_once_in_order_or_counted_lost(deeds):
    """Whatever comes when: the taken parts are in order, none twice, and those missing are counted or wait."""
    results, offered, taken, image = begun(), 0, [], None
    for deed in deeds:
        match deed:
            case "part":
                offered += 1
                results.offer(part(offered))
            case "again":
                results.offer(part(max(1, offered // 2))) if offered else None
            case "write":
                image = results.image(NOW)
            case "take" if image is not None and image.get("Sequence", 0) > 0:
                if not taken or image["Sequence"] != taken[-1][0]:
                    taken.append((image["Sequence"], image["PartNumber"]))
                results.acknowledged(image["Sequence"])
    parts = [number for _, number in taken]

    assert parts == sorted(set(parts))
    assert offered == results.taken + results.lost + results.waiting
    assert results.waiting <= HELD
    assert [*range(1, len(taken) + 1)] == [sequence for sequence, _ in taken]


def test_more_than_eight_results_go_oldest_first():
    """The result that is shown stays; of the others the newest stay, and the rest is counted."""
    results = begun()
    results.offer(part(1))
    shown = [results.image(NOW)["PartNumber"]]
    for number in range(2, 13):
        results.offer(part(number))
    held, lost = results.waiting, results.lost
    while results.waiting:
        image = results.image(NOW)
        shown.append(image["PartNumber"])
        results.acknowledged(image["Sequence"])

    assert (HELD, 4) == (held, lost)
    assert [1, 1, 6, 7, 8, 9, 10, 11, 12] == shown


def test_the_heartbeat_changes_with_every_write():
    """Also where nothing else does, and when its number is used up."""
    results = begun()
    results._beat = LARGEST - 1
    beats = [results.image(NOW)["Heartbeat"] for _ in range(3)]

    assert [LARGEST, 1, 2] == beats


def test_numbers_go_on_after_the_largest():
    """A number is never 0 or negative: 0 is a controller that has taken nothing."""
    results = begun(FRESH | {"Layout": LAYOUT, "Sequence": LARGEST}, LARGEST)
    results.offer(part(1))

    assert 1 == results.image(NOW)["Sequence"]


@pytest.mark.parametrize(
    ("seen", "acknowledged", "shown", "sequence"),
    [
        ({}, 0, 1, 1),
        ({}, 41, 1, 42),
        ({"Layout": LAYOUT, "Sequence": 9, "PartBoot": 7, "PartNumber": 3}, 9, 4, 10),
        ({"Layout": LAYOUT, "Sequence": 9, "PartBoot": 7, "PartNumber": 3}, 8, 3, 10),
        ({"Layout": LAYOUT, "Sequence": 0, "PartBoot": 7, "PartNumber": 3}, 9, 4, 10),
        ({"Layout": LAYOUT, "Sequence": 9, "PartBoot": 6, "PartNumber": 3}, 9, 1, 10),
        ({"Layout": LAYOUT + 1, "Sequence": 9, "PartBoot": 7, "PartNumber": 3}, 4, 1, 5),
        ({"Layout": LAYOUT, "Sequence": -9, "PartBoot": 6, "PartNumber": 3}, -4, 1, 1),
    ],
)
def test_a_new_run_goes_on_where_the_controller_stands(seen, acknowledged, shown, sequence):
    """What was taken is not shown again, what was not is; the number is one that the controller has not seen."""
    results = Results()
    for number in range(1, 6):
        results.offer(part(number))
    results.begin(FRESH | seen, acknowledged)
    image = results.image(NOW)

    assert (shown, sequence) == (image["PartNumber"], image["Sequence"])


def test_a_boot_of_32_bit_survives_the_controller():
    """DINTs are signed, the microcontroller's boot number is not."""
    results = begun()
    results.offer(part(3, boot=0xF0000001))
    image = results.image(NOW)
    results.acknowledged(1)
    again = Results()
    again.offer(part(3, boot=0xF0000001))
    again.begin(unpack(pack(results.image(NOW))), 1)

    assert (0xF0000001, 0) == (image["PartBoot"], again.waiting)


def test_a_line_that_is_silent_is_not_online():
    """Online and Ready are a living line's words."""
    results = begun()
    results.line(LINE, NOW)
    states = [
        tuple(results.image(now).get(name, 0) for name in ("Online", "Ready"))
        for now in (NOW + SILENCE - 1, NOW + SILENCE)
    ]

    assert [(1, 1), (0, 0)] == states


def test_the_goodbye_says_nothing_good():
    """A controller whose heartbeat check fails still finds no good part in its memory, and the next run its place."""
    results = begun()
    results.line(LINE, NOW)
    results.offer(part(1))
    results.offer(part(2))
    shown = results.image(NOW)
    last = unpack(pack(results.goodbye()))
    again = Results()
    again.offer(part(1))
    again.begin(last, 0)

    assert (1, 1) == (shown["Good"], shown["Sequence"])
    assert {0} == {last[name] for name in ("Good", "Reject", "Online", "Ready", "SequenceCheck", "Lane")}
    assert (1, 2) == (again.waiting, again.image(NOW)["Sequence"])


def test_without_a_result_there_is_no_number():
    """A controller that has lost its memory takes nothing where nothing is shown."""
    results = begun()
    results.offer(part(1))
    results.image(NOW)
    results.acknowledged(1)
    image = unpack(pack(results.image(NOW)))

    assert (0, 0, 1) == (image["Sequence"], image["Good"], image["PartNumber"])


def test_a_probe_is_never_a_result():
    """The numbers that prove the members' places cannot be taken for a result, even in a wrong order."""
    first, second = probes()
    others = [value for name, value in first.items() if name not in HARMFUL]

    assert {member.name for member in MEMBERS} == set(first) == set(second)
    assert len(second) == len(set(second.values()))
    assert [] == [value for value in [*others, *second.values()] if value < 1000 or value % 2]
    assert {0} == {first[name] for name in HARMFUL}
    assert HARMFUL == {"Good", "Reject", "Online", "Ready", "Sequence"}


@given(st.dictionaries(st.sampled_from([member.name for member in MEMBERS]), st.integers(-(1 << 31), (1 << 31) - 1)))
def test_the_bytes_are_read_back(values):
    """Each member lies where the type has it; what is not given is 0."""
    reals = {member.name for member in MEMBERS if member.kind == "REAL"}
    found = unpack(pack(values))

    assert [
        name for name, value in values.items() if not math.isclose(found[name], value, rel_tol=1e-6 * (name in reals))
    ] == []
    assert {0.0} >= {found[member.name] for member in MEMBERS if member.name not in values}


def test_unknown_sizes_are_refused():
    """A structure of another size is another type."""
    with pytest.raises(ValueError, match="99 bytes, not 100"):
        unpack(bytes(99))


def test_what_is_not_a_number_is_minus_one():
    """A REAL that is not a number stops the program of some controllers."""
    results = begun()
    results.offer(msgspec.structs.replace(part(1), score=math.nan, latency_ms=math.inf, bundle="", recipe_sha256=""))
    image = results.image(NOW)

    assert (-1.0, -1.0, 0, 0) == tuple(image[name] for name in ("Score", "LatencyMs", "BundleHash", "RecipeHash"))


def test_the_file_for_the_plc_programmer_is_up_to_date():
    """The L5X file and the bytes come from one table; `python -m appliance.outputs.logix_type` writes it."""
    members = ET.fromstring(l5x()).iter("Member")  # noqa: S314  our own text

    assert l5x() == FILE.read_text("utf-8")
    assert [(member.name, member.kind) for member in MEMBERS] == [
        (found.get("Name"), found.get("DataType")) for found in members
    ]
    assert ("Sequence", "SequenceCheck") == (MEMBERS[-1].name, MEMBERS[0].name)
