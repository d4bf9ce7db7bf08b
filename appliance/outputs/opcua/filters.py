"""Let a client's event filter mean what OPC 10000-4 says it means: OfType takes subtypes too.

asyncua 2.1.0 compares the event's type alone, so that a filter for BaseEventType, which clients set by default, would
let nothing through.
"""

from functools import partial
from typing import Any

from asyncua import ua
from asyncua.server.monitored_item_service import WhereClauseEvaluator

_HAS_SUBTYPE = ua.NodeId(ua.ObjectIds.HasSubtype)


def mend_filters(subscription: Any, space: Any) -> None:
    """Make a new subscription's event filters ours; `space` is the server's AddressSpace."""
    service = subscription.monitored_item_srv
    service._create_events_monitored_item = partial(  # noqa: SLF001
        _created, service, space, service._create_events_monitored_item  # noqa: SLF001
    )  # fmt: skip


def _created(service: Any, space: Any, create: Any, parameters: Any) -> Any:
    if not isinstance(parameters.RequestedParameters.Filter, ua.EventFilter):
        return _refused(ua.StatusCodes.BadEventFilterInvalid)
    result = create(parameters)
    item = service._monitored_items.get(result.MonitoredItemId)  # noqa: SLF001
    if item is not None:
        item.where_clause_evaluator = TypeFilter(service.logger, space, item.filter.WhereClause)
    return result


def _refused(code: int) -> Any:
    return ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(code))


class TypeFilter(WhereClauseEvaluator):  # type: ignore[misc]  # asyncua is untyped
    """Evaluate a filter; the rest of it is asyncua's."""

    def _eval_el(self, index: int, event: Any) -> Any:
        element = self.elements[index]
        if element.FilterOperator != ua.FilterOperator.OfType:
            return super()._eval_el(index, event)
        return self._is_kind_of(event.EventType, self._eval_op(element.FilterOperands[0], event))

    def _is_kind_of(self, kind: ua.NodeId, wanted: ua.NodeId) -> bool:
        """Walk up from a type to its supertypes."""
        while kind != wanted:
            references = self._aspace[kind].references if kind in self._aspace else ()
            above = [one.NodeId for one in references if one.ReferenceTypeId == _HAS_SUBTYPE and not one.IsForward]
            if not above:
                return False
            kind = above[0]
        return True
