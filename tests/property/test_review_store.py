"""The review desk on a real database: random histories with restarts end in the state that the steps say."""

import random
from pathlib import Path

import pytest

from appliance.schema.clocks import HostNs, S
from appliance.schema.command import Accepted, QuarantinePart, ReinspectPart, SeedPart
from appliance.schema.policy import Mode, Policy
from appliance.schema.review import Change, Occasion
from appliance.schema.verdict import Disposition, Reason
from appliance.storage import review_queries
from tests.unit.review_rig import SAMPLED, ManualClock, Rig, accept, entered, part, reject, verdict

PARTS = 12
LIMIT = 6
WAYS = (
    (Disposition.REVIEW, (Reason.BETWEEN_LIMITS,)),
    (Disposition.REVIEW, SAMPLED),
    (Disposition.UNKNOWN, (Reason.UNKNOWN_DEFECT,)),
    (Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,)),
)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_part_stands_where_its_steps_say(tmp_path: Path, mode: Mode, seed: int) -> None:
    """Across restarts no part is lost or decided twice, the bound holds, and seeded parts have no label."""
    print(f"seed {seed}")  # noqa: T201
    generator = random.Random(seed)
    clock = ManualClock()
    policy = Policy(review_limit=LIMIT, review_minutes=4.0)
    rig = Rig(tmp_path, policy, mode, clock)
    granted = 0
    for _ in range(250):
        number, person = generator.randint(1, PARTS), generator.choice(["op-1", "op-2", "qe-1"])
        clock.host = HostNs(clock.host + S)
        match generator.choice(
            ["come", "come", "decide", "decide", "decide", "aside", "again", "seed", "die", "sleep"]
        ):
            case "come":
                rig.hear("part.entered", entered(number))
                if mode is Mode.PRIMARY:
                    rig.hear("verdict", verdict(number, *WAYS[number % 4]))
            case "decide":
                wish = generator.choice([accept, reject])
                granted += isinstance(rig.ask(wish(number, person)), Accepted)
            case "aside":
                rig.ask(QuarantinePart(part(number), person, "odd"))
            case "again":
                rig.ask(ReinspectPart(part(number), person, "again"))
            case "seed":
                rig.ask(SeedPart("dent", person, generator.choice([None, part(number)])))
            case "die":
                rig.node.finish(clock.now())
                rig = Rig(tmp_path, policy, mode, clock)
            case "sleep":
                clock.host = HostNs(clock.host + 40 * S)
                rig.hear("verdict")
        check(rig, granted)
    rig.node.finish(clock.now())

    assert granted > 5


def check(rig: Rig, granted: int) -> None:
    """Hold queue and database against each other."""
    desk = rig.node._desk
    held = rig.store.ask(lambda connection: review_queries.items(connection, (Change.OPENED, Change.REOPENED)))
    rows = rig.store.ask(lambda connection: connection.execute(
        "SELECT (SELECT count(*) FROM manual_verdicts), (SELECT count(*) FROM labels),"
        " (SELECT count(*) FROM manual_verdicts m WHERE m.part IN (SELECT part FROM seeds)),"
        " (SELECT count(*) FROM labels l WHERE l.part IN (SELECT part FROM seeds)),"
        " (SELECT count(*) FROM review_steps WHERE change = 'decided')"
    ).fetchone())  # fmt: skip
    verdicts, labels, seeded, seeded_labels, decided = rows

    assert desk is not None
    assert {item.part: item for item in desk._queue.waiting} == {item.part: item for item in held}
    assert len(held) <= LIMIT
    assert [] == rig.store.ask(review_queries.overlooked)
    assert granted == verdicts == decided == labels + seeded
    assert 0 == seeded_labels
    unknown = [one for one in held if one.origin is Occasion.UNKNOWN]
    assert all(one.needs_quality for one in unknown)
