"""Name the screens, in the order of the rail."""

from msgspec import Struct


class Screen(Struct, frozen=True):
    """State one screen: its folder below this one, and what the rail shows."""

    name: str
    title: str
    """English; the catalogue of the kit translates it."""
    icon: str
    rail: bool = True
    """Whether the rail leads to it; sign-in is reached by the person's key."""

    @property
    def kind(self) -> str:
        """Name of its QML file and, with `View`, of its class: `sign_in` gives `SignIn`."""
        return "".join(word.capitalize() for word in self.name.split("_"))


SCREENS = (
    Screen("run", "Run", "run"),
    Screen("review", "Review", "review"),
    Screen("alarms", "Alarms", "bell"),
    Screen("statistics", "Statistics", "chart"),
    Screen("trends", "Trends", "trend"),
    Screen("recipe", "Recipe", "recipe"),
    Screen("maintenance", "Service", "wrench"),
    Screen("people", "People", "people"),
    Screen("sign_in", "Sign in", "person", rail=False),
)
