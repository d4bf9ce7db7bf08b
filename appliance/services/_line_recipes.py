"""Carry the line from one recipe to another: nothing is inspected from the wish until all that is needed is warm."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from appliance.outputs.plc.handshake import Handshake
from appliance.ports.node import Output, Publish, Restart, Send
from appliance.schema.clocks import HostNs
from appliance.schema.command import Accepted, RefusedReply, Reply
from appliance.schema.health import Alarm
from appliance.schema.topics import ALARM
from appliance.services._authority import Authority, ModelDecides, authority
from appliance.services._line_mcu import McuSide
from appliance.services._line_plc import LINE, PLC, audit
from appliance.services._recipe_change import DEVICE, Changed, ChangeTo, NotChanged


class InForce(Struct, frozen=True):
    """Name the recipe that the line works by."""

    number: int = 0
    hash32: int = 0
    """First 32 bit of its SHA-256, as the PLC reads them."""
    name: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        return f"{self.number} {self.name} {self.hash32:08x}"


class Recipes:
    """Keep the recipe in force, and follow one change at a time."""

    def __init__(self, in_force: InForce, who: Authority, link: McuSide, handshake: Handshake) -> None:
        """Take what the process was started with. who: who may open the gate by this recipe."""
        self.in_force = in_force
        self.who = who
        self._link, self._handshake = link, handshake
        self._asked: int | None = None
        self._warming = False

    @property
    def changing(self) -> bool:
        """Whether a change runs; no part that enters meanwhile is inspected."""
        return self._asked is not None or self._warming

    @property
    def names(self) -> frozenset[str]:
        """What the recipe in force may be called in a job."""
        return frozenset({"", self.in_force.name, str(self.in_force.number)})

    def prepare(self, number: int, actor: str, *, belt_empty: bool) -> tuple[Reply, Sequence[Output]]:
        """Grant or refuse a client's wish for a recipe."""
        if self.changing:
            return RefusedReply("a recipe change runs; wait for its end"), ()
        if number == self.in_force.number:
            return Accepted(f"recipe {number} is active"), ()
        if not belt_empty:
            return RefusedReply("a part is between sensor and gate; ask again once the belt is empty"), ()
        return Accepted(f"changing to recipe {number}"), self._ask(number, actor)

    def step(self, now: HostNs) -> Sequence[Output]:
        """Take the PLC's wish, and end the change once all that is needed is ready."""
        if self._warming and self._link.ready:
            self._warming = False
            self._handshake.recipe(self.in_force.number, self.in_force.hash32, now)
        number = self._handshake.job_change
        if number is None or self.changing:
            return ()
        if number == self.in_force.number:
            self._handshake.recipe(number, self.in_force.hash32, now)
            return ()
        return self._ask(number, PLC)

    def changed(self, told: Changed, needs: Callable[[Authority], Sequence[str]]) -> Sequence[Output]:
        """Take the new recipe in force. needs: units that have to be ready, by who may open the gate."""
        self._asked = None
        before, recipe = self.in_force, told.recipe
        self.in_force = InForce(told.number, told.recipe_hash, recipe.name, told.recipe_sha256)
        outputs: list[Output] = [audit(told.actor, "recipe_changed", str(before), str(self.in_force))]
        if isinstance(self.who, ModelDecides) is (told.primary is None):
            return [*outputs, Restart(f"recipe {self.in_force.number} gives the gate to another")]
        self.who = authority(told.primary)
        self._link.need(needs(self.who), self.who.needs, told.recipe_hash)
        self._warming = True
        return outputs

    def not_changed(self, told: NotChanged, now: HostNs) -> Sequence[Output]:
        """Stay with the recipe in force."""
        self._asked = None
        self._handshake.refuse_job(now)
        text = f"recipe {told.number} was refused, {self.in_force.number} stays: {told.reason}"
        return [
            Publish(ALARM + LINE, Alarm(LINE, "recipe_change_refused", text, at=now)),
            audit(told.actor, "recipe_change_refused", str(self.in_force), f"{told.number}: {told.reason}"),
        ]

    def _ask(self, number: int, actor: str) -> Sequence[Output]:
        self._asked = number
        return [Send(DEVICE, ChangeTo(number, actor))]
