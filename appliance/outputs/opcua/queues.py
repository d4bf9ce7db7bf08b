"""Keep a slow subscriber's queues bounded, and tell it what it has missed; the only file that knows asyncua's queues.

asyncua 2.1.0 drops the oldest notification of a full queue without a word, lets a client ask for a queue without an end
(ModifyMonitoredItems with queue size 0), and sends a whole queue as one message, which may pass the client's limits.
OPC 10000-4 wants an EventQueueOverflowEventType event at the queue's front, and the Overflow bit on the value behind a
gap.
"""

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from asyncua import ua
from asyncua.common.event_objects import BaseEvent

from appliance.outputs.opcua.filters import mend_filters

OVERFLOW_BITS = 0x0480
"""InfoType DataValue and Overflow of a status code (OPC 10000-4, StatusCode)."""

SEVERITY = 500

AT_ONCE = 200
"""Events in one message at most: about 2 kB each, and a message ends at 1 MB; the next follows at the next interval."""


@dataclass
class _Overflowed(ua.EventFieldList):  # type: ignore[misc]
    """Stand at the front of a queue that has lost events; it takes no place in it."""


class QueueWatch:
    """Count what slow subscribers missed; lives in the server's event loop."""

    def __init__(self, server: Any, limit: int) -> None:
        """Watch every subscription of an asyncua Server from now on; `limit` notifications wait at most in a queue."""
        self.overflowed = 0
        self._limit = limit
        self._space = server.iserver.aspace
        self._service = server.iserver.subscription_service
        self._create = self._service.create_subscription
        self._service.create_subscription = self._created

    async def _created(self, *arguments: Any, **named: Any) -> Any:
        result = await self._create(*arguments, **named)
        subscription = self._service.subscriptions[result.SubscriptionId]
        mend_filters(subscription, self._space)
        asked = arguments[0].MaxNotificationsPerPublish if arguments else 0
        subscription._enqueue_event = partial(self._enqueue, subscription)  # noqa: SLF001
        subscription._pop_triggered_events = partial(_pop, subscription, min(asked or AT_ONCE, AT_ONCE))  # noqa: SLF001
        return result

    async def _enqueue(self, subscription: Any, item: int, told: Any, size: int, queue: dict[int, list[Any]]) -> None:
        held = queue.get(item)
        if held is None:
            queue[item] = [told]
            await subscription._trigger_publish()  # noqa: SLF001
            return
        limit = min(size or self._limit, self._limit)
        marked = isinstance(held[0], _Overflowed)
        while len(held) - marked >= limit:
            held.pop(1 if marked else 0)
            self.overflowed += 1
            if isinstance(told, ua.EventFieldList):
                if not marked:
                    held.insert(0, self._overflow_event(subscription, item))
                    marked = True
            elif held:
                held[0] = _with_overflow(held[0])
        held.append(told)

    def _overflow_event(self, subscription: Any, item: int) -> _Overflowed:
        monitored = subscription.monitored_item_srv._monitored_items[item]  # noqa: SLF001
        event = BaseEvent(message="events were lost: the client reads too slowly", severity=SEVERITY)
        event.EventType = ua.NodeId(ua.ObjectIds.EventQueueOverflowEventType)
        event.EventId = uuid.uuid4().bytes
        event.SourceNode = ua.NodeId(ua.ObjectIds.Server)
        event.SourceName = "Server/EventQueueOverflow"
        event.Time = event.ReceiveTime = datetime.now(UTC)
        return _Overflowed(monitored.client_handle, event.to_event_fields(monitored.filter.SelectClauses))


def _pop(subscription: Any, at_once: int, result: Any) -> None:
    """Move the oldest events of each queue into a message; what does not fit stays."""
    queues: dict[int, list[Any]] = subscription._triggered_events  # noqa: SLF001
    taken: list[Any] = []
    for item in list(queues):
        held = queues[item]
        fitting = at_once - len(taken)
        taken += held[:fitting]
        del held[:fitting]
        if not held:
            del queues[item]
    if taken:
        result.NotificationMessage.NotificationData.append(ua.EventNotificationList(Events=taken))


def _with_overflow(told: Any) -> Any:
    code = ua.StatusCode(told.Value.StatusCode.value | OVERFLOW_BITS)
    return replace(told, Value=replace(told.Value, StatusCode=code))
