"""Assertions of the Sparkplug 3.0.0 test kit that an edge node must pass, by their ids, over a tapped conversation.

Each gives one bool per occasion; an id without an occasion has not been tested. Ids that speak of hosts, brokers,
Templates, DataSets and properties are not here: the node has none of them.
"""

from itertools import pairwise

from appliance.outputs.sparkplug.payload import DataType
from tests.contract.mqtt_tap import CONNECT, DISCONNECT, PUBLISH, SUBSCRIBE
from tests.contract.sparkplug_talk import BDSEQ

REBIRTH = "Node Control/Rebirth"
BIRTHS, DATA = {"NBIRTH", "DBIRTH"}, {"NDATA", "DDATA"}


def _topics(talk, *kinds):
    return [one.levels == talk.topic(one.kind) for one in talk.of(*kinds)]


def _quiet(talk, *kinds):
    return [one.qos == 0 and not one.retain for one in talk.of(*kinds)]


def _qos(talk, *kinds):
    return [one.qos == 0 for one in talk.of(*kinds)]


def _retain(talk, *kinds):
    return [not one.retain for one in talk.of(*kinds)]


def _stamped(talk, *kinds):
    return [(one.payload.timestamp_ms or 0) > 1_700_000_000_000 for one in talk.of(*kinds)]


def _counted(talk, *kinds):
    """Each message's seq is one more than that of the message before it."""
    counted = [one for one in talk.said if one.kind != "NDEATH"]
    return [
        one.payload.seq == (before.payload.seq + 1) % 256
        for before, one in pairwise(counted)
        if one.kind in kinds and one.session == before.session
    ]


def _seq(talk, *kinds):
    return [one.payload.seq in range(256) for one in talk.of(*kinds)]


def _metrics(talk, *kinds):
    return [metric for one in talk.of(*kinds) for metric in one.payload.metrics]


def _named(metric):
    return metric.name in {BDSEQ, REBIRTH}


def _has_births(talk, one, kind):
    node, device = talk.prior(one, "NBIRTH"), talk.prior(one, "DBIRTH")
    return node is not None and (kind == "NDATA" or (device is not None and device.place > node.place))


def _born_once(talk, kind):
    """Look whether data speak only of what the birth named, by alias."""
    results = []
    for one in talk.of({"NBIRTH": "NDATA", "DBIRTH": "DDATA"}[kind]):
        known = {metric.alias for metric in talk.prior(one, kind).payload.metrics}
        results.append({metric.alias for metric in one.payload.metrics} <= known)
    return results


def _changed(talk, kind):
    """Look whether data carry metrics; a message with none would say nothing."""
    return [bool(one.payload.metrics) for one in talk.of(kind)]


def _ordered(talk, *kinds):
    results = []
    for one in talk.of(*kinds):
        times = [metric.timestamp_ms for metric in one.payload.metrics if not metric.historical]
        results.append(times == sorted(times))
    return results


def _unique_aliases(talk):
    results = []
    for birth in talk.of("DBIRTH"):
        node = talk.prior(birth, "NBIRTH")
        aliases = [metric.alias for one in (node, birth) for metric in one.payload.metrics if metric.alias is not None]
        results.append(len(aliases) == len(set(aliases)) and len(aliases) > 20)
    return results


def _bdseq_steps(talk):
    numbers = [will.bdseq for will in talk.wills]
    refused = 0 if talk.version == 5 else 1  # the first CONNECT, in a version that the broker does not know
    return [number == (refused + place) % 256 for place, number in enumerate(numbers)]


def _bdseq_repeats(talk):
    return [one.bdseq == talk.wills[one.session].bdseq for one in talk.of("NBIRTH")]


def _subscribed(talk, name, device=""):
    """Look whether a topic was asked for with QoS 1 before the first birth of the session."""
    wanted = ("/".join(["spBv1.0", talk.group, name, talk.node, *([device] if device else [])]), 1)
    results = []
    for session in talk.sessions:
        births = talk.of("NBIRTH", session=session)
        limit = births[0].place if births else len(talk.packets)
        asked = [packet for packet in talk.packets[:limit] if packet.kind == SUBSCRIBE and packet.session == session]
        results.append(any(wanted in packet.topics for packet in asked))
    return results


def _will(talk, **wanted):
    return [all(getattr(packet, name) == value for name, value in wanted.items()) for packet in talk.connects]


def _leaves(talk):
    """Each DISCONNECT with the packet before it, of its session."""
    return [(talk.packets[place - 1], packet) for place, packet in enumerate(talk.packets) if packet.kind == DISCONNECT]


def _ndeath_before_disconnect(talk):
    return [before.kind == PUBLISH and before.topic.split("/")[2] == "NDEATH" for before, _ in _leaves(talk)]


def _rebirth_metric(talk):
    return [
        (metric := one.metric(REBIRTH)) is not None and metric.value is False and metric.datatype is DataType.BOOLEAN
        for one in talk.of("NBIRTH")
    ]


def _no_birth(talk, first, last):
    return [not talk.between(first, last)]


def _birth(talk, first, last):
    kinds = [one.kind for one in talk.between(first, last)]
    return ["NBIRTH" in kinds and kinds[kinds.index("NBIRTH") :][:2] == ["NBIRTH", "DBIRTH"]]


def _left(talk, first, last):
    packets = talk.packets[talk.marks[first] : talk.marks[last]]
    kinds = [packet.topic.split("/")[2] if packet.topic else packet.kind for packet in packets]
    return ["NDEATH" in kinds and kinds[kinds.index("NDEATH") :][:2] == ["NDEATH", DISCONNECT]]


def _came_back(talk, first, last):
    return [any(packet.kind == CONNECT for packet in talk.packets[talk.marks[first] : talk.marks[last]])]


def _stayed(talk, first, last):
    packets = talk.packets[talk.marks[first] : talk.marks[last]]
    return [not any(packet.kind in {CONNECT, DISCONNECT} for packet in packets)]


def _clean(talk):
    if talk.version == 5:
        return [packet.clean and packet.expiry == 0 for packet in talk.connects]
    return [packet.clean for packet in talk.connects]


def _utf8_levels(talk):
    return [not set("+#") & set("".join(one.levels)) and len(one.levels) in {4, 5} for one in talk.said]


def _types(talk):
    return [metric.datatype is not DataType.UNKNOWN for metric in _metrics(talk, *BIRTHS)]


def _data_types(talk):
    """3.0.0 advises against types in data; without them hosts of the wild read nothing, so they are there and equal."""
    results = []
    for one in talk.of("DDATA"):
        types = {metric.alias: metric.datatype for metric in talk.prior(one, "DBIRTH").payload.metrics}
        results += [types[metric.alias] is metric.datatype for metric in one.payload.metrics]
    return results


def _rebirth_number(talk):
    return [
        one.bdseq == talk.wills[one.session].bdseq for one in talk.between("rebirth", "reborn") if one.kind == "NBIRTH"
    ]


def _device_death(talk):
    return [[one.kind for one in talk.between("line_silent", "line_back") if one.kind[0] == "D"] == ["DDEATH"]]


ALWAYS = {
    "intro-group-id-string": lambda t: [one.levels[1] == t.group for one in t.said],
    "intro-group-id-chars": _utf8_levels,
    "intro-edge-node-id-string": lambda t: [one.levels[3] == t.node for one in t.said],
    "intro-edge-node-id-chars": _utf8_levels,
    "intro-device-id-string": lambda t: [one.levels[4] == t.device for one in t.said if one.kind.startswith("D")],
    "intro-device-id-chars": _utf8_levels,
    "principles-birth-certificates-order": lambda t: [
        t.of("NBIRTH", "DBIRTH", "NDATA", "DDATA", "DDEATH", "NDEATH", session=number)[0].kind == "NBIRTH"
        for number in t.sessions
        if t.of("NBIRTH", session=number)
    ],
    "topic-structure": _utf8_levels,
    "topic-structure-namespace-a": lambda t: [one.levels[0] == "spBv1.0" for one in t.said],
    "topic-structure-namespace-valid-group-id": _utf8_levels,
    "topic-structure-namespace-valid-edge-node-id": _utf8_levels,
    "topic-structure-namespace-valid-device-id": _utf8_levels,
    "topic-structure-namespace-device-id-associated-message-types": lambda t: [
        len(one.levels) == 5 for one in t.of("DBIRTH", "DDATA", "DDEATH")
    ],
    "topic-structure-namespace-device-id-non-associated-message-types": lambda t: [
        len(one.levels) == 4 for one in t.of("NBIRTH", "NDATA", "NDEATH")
    ],
    "topics-nbirth-topic": lambda t: _topics(t, "NBIRTH"),
    "topics-nbirth-mqtt": lambda t: _quiet(t, "NBIRTH"),
    "topics-nbirth-seq-num": lambda t: [one.payload.seq == 0 for one in t.of("NBIRTH")],
    "topics-nbirth-timestamp": lambda t: _stamped(t, "NBIRTH"),
    "topics-nbirth-metric-reqs": lambda t: _born_once(t, "NBIRTH"),
    "topics-nbirth-metrics": lambda t: [bool(m.name) for m in _metrics(t, "NBIRTH")] + _types(t),
    "topics-nbirth-bdseq-included": lambda t: [one.metric(BDSEQ) is not None for one in t.of("NBIRTH")],
    "topics-nbirth-bdseq-matching": _bdseq_repeats,
    "topics-nbirth-bdseq-increment": _bdseq_steps,
    "topics-nbirth-rebirth-metric": _rebirth_metric,
    "topics-ndata-topic": lambda t: _topics(t, "NDATA"),
    "topics-ndata-mqtt": lambda t: _quiet(t, "NDATA"),
    "topics-ndata-seq-num": lambda t: _counted(t, "NDATA"),
    "topics-ndata-timestamp": lambda t: _stamped(t, "NDATA"),
    "topics-ndata-payload": lambda t: _changed(t, "NDATA"),
    "topics-ndeath-topic": lambda t: [one.levels == t.topic("NDEATH") for one in [*t.wills, *t.of("NDEATH")]],
    "topics-ndeath-payload": lambda t: [
        [metric.name for metric in one.payload.metrics] == [BDSEQ] for one in [*t.wills, *t.of("NDEATH")]
    ],
    "topics-ndeath-seq": lambda t: [one.payload.seq is None for one in [*t.wills, *t.of("NDEATH")]],
    "topics-dbirth-topic": lambda t: _topics(t, "DBIRTH"),
    "topics-dbirth-mqtt": lambda t: _quiet(t, "DBIRTH"),
    "topics-dbirth-seq": lambda t: _counted(t, "DBIRTH"),
    "topics-dbirth-timestamp": lambda t: _stamped(t, "DBIRTH"),
    "topics-dbirth-metric-reqs": lambda t: _born_once(t, "DBIRTH"),
    "topics-dbirth-metrics": lambda t: [bool(m.name) and m.alias is not None for m in _metrics(t, "DBIRTH")],
    "topics-ddata-topic": lambda t: _topics(t, "DDATA"),
    "topics-ddata-mqtt": lambda t: _quiet(t, "DDATA"),
    "topics-ddata-seq-num": lambda t: _counted(t, "DDATA"),
    "topics-ddata-timestamp": lambda t: _stamped(t, "DDATA"),
    "topics-ddata-payload": lambda t: _changed(t, "DDATA"),
    "case-sensitivity-metric-names": lambda t: [
        len({m.name.lower() for m in one.payload.metrics}) == len(one.payload.metrics) for one in t.of(*BIRTHS)
    ],
    "message-flow-edge-node-ncmd-subscribe": lambda t: _subscribed(t, "NCMD"),
    "message-flow-device-dcmd-subscribe": lambda t: _subscribed(t, "DCMD", t.device),
    "message-flow-edge-node-birth-publish-connect": lambda t: [t.packets[0].kind == CONNECT],
    "message-flow-edge-node-birth-publish-will-message": lambda t: _will(t, has_will=True),
    "message-flow-edge-node-birth-publish-will-message-topic": lambda t: _will(t, topic="/".join(t.topic("NDEATH"))),
    "message-flow-edge-node-birth-publish-will-message-payload": lambda t: [
        will.metric(BDSEQ) is not None for will in t.wills
    ],
    "message-flow-edge-node-birth-publish-will-message-payload-bdSeq": lambda t: (
        [will.metric(BDSEQ).datatype is DataType.INT64 for will in t.wills] + _bdseq_steps(t)
    ),
    "message-flow-edge-node-birth-publish-will-message-qos": lambda t: _will(t, qos=1),
    "message-flow-edge-node-birth-publish-will-message-will-retained": lambda t: _will(t, retain=False),
    "message-flow-edge-node-birth-publish-nbirth-topic": lambda t: _topics(t, "NBIRTH"),
    "message-flow-edge-node-birth-publish-nbirth-payload": lambda t: [
        bool(one.payload.metrics) for one in t.of("NBIRTH")
    ],
    "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq": lambda t: (
        [one.metric(BDSEQ).datatype is DataType.INT64 for one in t.of("NBIRTH")] + _bdseq_repeats(t)
    ),
    "message-flow-edge-node-birth-publish-nbirth-qos": lambda t: _qos(t, "NBIRTH"),
    "message-flow-edge-node-birth-publish-nbirth-retained": lambda t: _retain(t, "NBIRTH"),
    "message-flow-edge-node-birth-publish-nbirth-payload-seq": lambda t: _seq(t, "NBIRTH"),
    "message-flow-device-birth-publish-nbirth-wait": lambda t: [
        t.prior(one, "NBIRTH") is not None for one in t.of("DBIRTH")
    ],
    "message-flow-device-birth-publish-dbirth-topic": lambda t: _topics(t, "DBIRTH"),
    "message-flow-device-birth-publish-dbirth-match-edge-node-topic": lambda t: [
        (one.levels[1], one.levels[3]) == (birth.levels[1], birth.levels[3])
        for one in t.of("DBIRTH")
        for birth in [t.prior(one, "NBIRTH")]
    ],
    "message-flow-device-birth-publish-dbirth-payload": lambda t: [bool(one.payload.metrics) for one in t.of("DBIRTH")],
    "message-flow-device-birth-publish-dbirth-qos": lambda t: _qos(t, "DBIRTH"),
    "message-flow-device-birth-publish-dbirth-retained": lambda t: _retain(t, "DBIRTH"),
    "message-flow-device-birth-publish-dbirth-payload-seq": lambda t: _counted(t, "DBIRTH"),
    "operational-behavior-edge-node-intentional-disconnect-ndeath": _ndeath_before_disconnect,
    "operational-behavior-edge-node-intentional-disconnect-packet": _ndeath_before_disconnect,
    "operational-behavior-data-publish-nbirth": lambda t: _born_once(t, "NBIRTH"),
    "operational-behavior-data-publish-nbirth-values": _types,
    "operational-behavior-data-publish-nbirth-change": lambda t: _changed(t, "NDATA"),
    "operational-behavior-data-publish-nbirth-order": lambda t: _ordered(t, "NBIRTH", "NDATA"),
    "operational-behavior-data-publish-dbirth": lambda t: _born_once(t, "DBIRTH"),
    "operational-behavior-data-publish-dbirth-values": _types,
    "operational-behavior-data-publish-dbirth-change": lambda t: _changed(t, "DDATA"),
    "operational-behavior-data-publish-dbirth-order": lambda t: _ordered(t, "DBIRTH", "DDATA"),
    "operational-behavior-data-commands-rebirth-name": lambda t: [
        one.metric(REBIRTH) is not None for one in t.of("NBIRTH")
    ],
    "operational-behavior-data-commands-rebirth-name-aliases": lambda t: [
        one.metric(REBIRTH).alias is None for one in t.of("NBIRTH")
    ],
    "operational-behavior-data-commands-rebirth-datatype": _rebirth_metric,
    "operational-behavior-data-commands-rebirth-value": _rebirth_metric,
    "payloads-timestamp-in-UTC": lambda t: _stamped(t, *BIRTHS, *DATA, "DDEATH"),
    "payloads-sequence-num-always-included": lambda t: _seq(t, *BIRTHS, *DATA, "DDEATH"),
    "payloads-sequence-num-zero-nbirth": lambda t: [one.payload.seq == 0 for one in t.of("NBIRTH")],
    "payloads-sequence-num-incrementing": lambda t: _counted(t, "DBIRTH", "NDATA", "DDATA", "DDEATH"),
    "payloads-name-requirement": lambda t: [bool(m.name) or m.alias is not None for m in _metrics(t, *BIRTHS, *DATA)],
    "payloads-alias-uniqueness": _unique_aliases,
    "payloads-alias-birth-requirement": lambda t: [
        bool(m.name) and (m.alias is not None or _named(m)) for m in _metrics(t, *BIRTHS)
    ],
    "payloads-alias-data-cmd-requirement": lambda t: [m.alias is not None and not m.name for m in _metrics(t, *DATA)],
    "payloads-name-birth-data-requirement": lambda t: [m.timestamp_ms is not None for m in _metrics(t, *BIRTHS, *DATA)],
    "payloads-metric-timestamp-in-UTC": lambda t: [
        m.timestamp_ms > 1_700_000_000_000 for m in _metrics(t, *BIRTHS, *DATA)
    ],
    "payloads-metric-datatype-value-type": _types,
    "payloads-metric-datatype-value": _types,
    "payloads-metric-datatype-req": _types,
    "payloads-metric-datatype-not-req": _data_types,
    "payloads-nbirth-timestamp": lambda t: _stamped(t, "NBIRTH"),
    "payloads-nbirth-seq": lambda t: _seq(t, "NBIRTH"),
    "payloads-nbirth-bdseq": lambda t: [one.metric(BDSEQ) is not None for one in t.of("NBIRTH")],
    "payloads-nbirth-bdseq-repeat": _bdseq_repeats,
    "payloads-nbirth-rebirth-req": _rebirth_metric,
    "payloads-nbirth-qos": lambda t: _qos(t, "NBIRTH"),
    "payloads-nbirth-retain": lambda t: _retain(t, "NBIRTH"),
    "payloads-dbirth-timestamp": lambda t: _stamped(t, "DBIRTH"),
    "payloads-dbirth-seq": lambda t: _seq(t, "DBIRTH"),
    "payloads-dbirth-seq-inc": lambda t: _counted(t, "DBIRTH"),
    "payloads-dbirth-order": lambda t: [
        t.prior(one, "NBIRTH", "DBIRTH", *DATA).kind == "NBIRTH" for one in t.of("DBIRTH") if one.payload.seq == 1
    ],
    "payloads-dbirth-qos": lambda t: _qos(t, "DBIRTH"),
    "payloads-dbirth-retain": lambda t: _retain(t, "DBIRTH"),
    "payloads-ndata-timestamp": lambda t: _stamped(t, "NDATA"),
    "payloads-ndata-seq": lambda t: _seq(t, "NDATA"),
    "payloads-ndata-seq-inc": lambda t: _counted(t, "NDATA"),
    "payloads-ndata-order": lambda t: [_has_births(t, one, "NDATA") for one in t.of("NDATA")],
    "payloads-ndata-qos": lambda t: _qos(t, "NDATA"),
    "payloads-ndata-retain": lambda t: _retain(t, "NDATA"),
    "payloads-ddata-timestamp": lambda t: _stamped(t, "DDATA"),
    "payloads-ddata-seq": lambda t: _seq(t, "DDATA"),
    "payloads-ddata-seq-inc": lambda t: _counted(t, "DDATA"),
    "payloads-ddata-order": lambda t: [_has_births(t, one, "DDATA") for one in t.of("DDATA")],
    "payloads-ddata-qos": lambda t: _qos(t, "DDATA"),
    "payloads-ddata-retain": lambda t: _retain(t, "DDATA"),
    "payloads-ndeath-seq": lambda t: [one.payload.seq is None for one in [*t.wills, *t.of("NDEATH")]],
    "payloads-ndeath-will-message": lambda t: _will(t, has_will=True, topic="/".join(t.topic("NDEATH"))),
    "payloads-ndeath-will-message-qos": lambda t: _will(t, qos=1),
    "payloads-ndeath-will-message-retain": lambda t: _will(t, retain=False),
    "payloads-ndeath-bdseq": lambda t: [one.bdseq == t.wills[one.session].bdseq for one in t.of("NDEATH")],
    "payloads-ndeath-will-message-publisher": _ndeath_before_disconnect,
}
"""Ids that hold for either version of MQTT, without a primary host too."""

MQTT_5 = {
    "principles-persistence-clean-session-50": _clean,
    "payloads-ndeath-will-message-publisher-disconnect-mqtt50": lambda t: [one.reason == 4 for _, one in _leaves(t)],
}
MQTT_3 = {
    "principles-persistence-clean-session-311": _clean,
    "payloads-ndeath-will-message-publisher-disconnect-mqtt311": _ndeath_before_disconnect,
}
OCCASIONS = {
    "message-flow-edge-node-birth-publish-phid-wait": lambda t: _no_birth(t, "connected", "online"),
    "message-flow-edge-node-birth-publish-phid-wait-id": lambda t: _no_birth(t, "other_online", "other_online_done"),
    "message-flow-edge-node-birth-publish-phid-wait-online": lambda t: (
        _no_birth(t, "offline_first", "offline_first_done") + _birth(t, "online", "born")
    ),
    "message-flow-edge-node-birth-publish-phid-wait-timestamp": lambda t: _no_birth(
        t, "stale_online", "stale_online_done"
    ),
    "message-flow-edge-node-birth-publish-phid-offline": lambda t: _left(t, "offline", "back"),
    "operational-behavior-edge-node-birth-sequence-wait": lambda t: _no_birth(t, "connected", "online"),
    "operational-behavior-edge-node-termination-host-offline": lambda t: _left(t, "offline", "back"),
    "operational-behavior-edge-node-termination-host-offline-reconnect": lambda t: _came_back(t, "offline", "back"),
    "operational-behavior-edge-node-termination-host-offline-timestamp": lambda t: _stayed(
        t, "stale_offline", "stale_offline_done"
    ),
    "operational-behavior-primary-application-state-with-multiple-servers-single-server": lambda t: [
        packet.session == number for number, packet in enumerate(t.connects)
    ],
    "operational-behavior-data-commands-rebirth-action-1": lambda t: _birth(t, "rebirth", "reborn"),
    "operational-behavior-data-commands-rebirth-action-2": lambda t: _birth(t, "rebirth", "reborn"),
    "operational-behavior-data-commands-rebirth-action-3": _rebirth_number,
    "operational-behavior-device-ddeath": _device_death,
    "topics-ddeath-topic": lambda t: _topics(t, "DDEATH"),
    "topics-ddeath-mqtt": lambda t: _quiet(t, "DDEATH"),
    "topics-ddeath-seq-num": lambda t: _counted(t, "DDEATH"),
    "payloads-ddeath-timestamp": lambda t: _stamped(t, "DDEATH"),
    "payloads-ddeath-seq": lambda t: _seq(t, "DDEATH"),
    "payloads-ddeath-seq-inc": lambda t: _counted(t, "DDEATH"),
    "payloads-ddeath-seq-number": lambda t: _seq(t, "DDEATH"),
}
"""Ids that need an occasion which the test makes."""
