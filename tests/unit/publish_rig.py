"""A publish node without a loop: a clock that moves when told, the facts of a part, what the outbox holds."""

from functools import partial

import msgspec

from appliance.outputs.channels import Channel
from appliance.outputs.part_report import Identity
from appliance.outputs.plant_messages import entries
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, S
from appliance.schema.finding import ViewResult
from appliance.schema.line import LineState
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.verdict import Disposition, InspectionResult, Reason, StageTimes, Verdict
from appliance.services.publish import MQTT, PublishNode

UTC = 1_763_000_000_000_000_000
IDENTITY = Identity("insp/v1/site/line/cell-4", "caps", "ab" * 32, "c0ffee", 604_800, 42)


class ManualClock:
    def __init__(self):
        self.host = 4 * S

    def now(self):
        return self.host

    def utc(self):
        return UTC + self.host


def node_of(outbox, clock, *others):
    return PublishNode(IDENTITY, (Channel(MQTT, outbox, partial(entries, IDENTITY), (LineState,)), *others), clock)


def facts_of(number):
    part = PartId(0xA0B1C2D3, number)
    view = ViewResult("top", 1, number, 0.25, None, ())
    return [
        ("part.entered", PartEntered(part, 1 * S, 500, 10, 20, 2 * S, ("top",), job="job-1")),
        ("part.exposed", PartExposed(part, "top", number, 1 * S + 10 * MS, 500, 11, 30)),
        ("result", InspectionResult(part, (view,), "sha256:ab", "openvino", "bf16", StageTimes(), 0, 1 * S + 20 * MS)),
        ("verdict", Verdict(part, Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,), 1 * S + 30 * MS, 2 * S, number)),
        ("actuation", Actuation(part, Lane.REJECT, Cause.DECIDED_REJECT, Disposition.REJECT, number, 3 * S, 1, 1)),
    ]


def tell(node, clock, facts, epoch=5):
    return [
        output
        for number, (topic, message) in enumerate(facts)
        for output in node.receive_envelope(topic, epoch, number, message, clock.now())
    ]


def payloads(outbox):
    return [msgspec.json.decode(row.payload) for row in outbox.pending(10_000)]
