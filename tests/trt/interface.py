"""Print the interface of a module of bindings as JSON: classes, their members, and each member's docstring."""

import importlib
import json
import sys


def describe(module) -> dict[str, dict[str, str]]:
    """Give member -> docstring by class; functions and constants of the module stand under the empty name."""
    found: dict[str, dict[str, str]] = {"": {}}
    for name in dir(module):
        value = getattr(module, name)
        found[""][name] = ""
        if isinstance(value, type):
            members = [*dir(value), *getattr(value, "__members__", {})]
            found[name] = {member: getattr(value, member, None).__doc__ or "" for member in members}
    return found


if __name__ == "__main__":
    print(json.dumps(describe(importlib.import_module(sys.argv[1]))))  # noqa: T201  read by the parent
