"""Hold a sample station and its maintenance screen, for tests."""

from typing import Any

from msgspec.structs import replace

from appliance.sim.hmi_station import Sample
from hmi.desk import Desk
from tests.hmi.hmi_rig import Rig, Stage


class Bench:
    """Hold a sample station and its maintenance screen."""

    def __init__(self, rig: Rig, sample: Sample, desk: Desk) -> None:
        self.rig, self.sample, self.desk = rig, sample, desk

    def open(self, tab: str, role: str = "maintenance", size: str = "1280x800", theme: str = "light") -> Stage:
        """Show a page to a person of a role."""
        self.who = self.sample.sign_in(self.desk, role) if role else ""
        self.stage = self.rig.open("maintenance", self.desk, size=size, theme=theme)
        self.desk.words.use("en")
        if self.stage.view is not None and hasattr(self.stage.view, "openTab"):
            self.stage.view.openTab(tab)
        self.settle()
        return self.stage

    def settle(self) -> None:
        """Let workers and answers come."""
        for _ in range(3):
            self.desk.settle()
            self.stage.tick()
        self.stage.window.grabWindow()

    def touch(self, *names: str) -> None:
        """Touch keys one after the other."""
        for name in names:
            self.stage.touch(name)
            self.settle()

    def wishes(self) -> list[Any]:
        """Give what the line was asked."""
        return [wish for unit, wish in self.sample.link.asked if unit == "line"]

    def line(self, **changes: Any) -> None:
        """Let the line state itself."""
        line = self.desk.state.line
        assert line is not None
        self.sample.link.say(replace(line, at=self.sample.clock.host, **changes))
        self.settle()

    def pin(self, digits: str) -> None:
        """Type a PIN."""
        self.touch(*digits, "Enter")
