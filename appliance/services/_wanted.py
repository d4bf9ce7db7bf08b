"""Tell systemd whether a station needs a unit: `python -m appliance.services._wanted --config FILE UNIT`.

As ExecCondition a unit that is not needed is skipped and counts as neither failed nor started.
"""

import argparse
import sys
from pathlib import Path

from appliance.config import load
from appliance.schema.errors import ConfigError
from appliance.services._wiring import units

SKIP = 1
FAILED = 255
"""What ExecCondition takes for a failure; anything between is a skip (systemd.service, ExecCondition)."""


def main() -> int:
    """Give 0 when the station needs the unit, 1 when not, 255 when its files cannot be read."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True, help="station file")
    parser.add_argument("unit")
    options = parser.parse_args()
    try:
        known = units(load(options.config))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return 0 if options.unit in known else SKIP


if __name__ == "__main__":
    sys.exit(main())
