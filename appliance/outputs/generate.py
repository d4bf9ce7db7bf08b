"""Write `REGISTERS.md`, the interface page for PLC engineers, from the register table.

`python -m appliance.outputs.generate` writes the page; a test fails while it is not up to date.
"""

from enum import IntEnum, IntFlag
from pathlib import Path

from appliance.outputs import registers
from appliance.outputs.handshake import HEARTBEAT_NS
from appliance.outputs.lateness import LATE_IN_A_ROW
from appliance.outputs.registers import (
    CAUSE_CODES,
    CONTROL,
    CONTROL_ADDRESS,
    CONTROL_COUNT,
    DISPOSITION_CODES,
    PROBLEMS,
    STATUS,
    STATUS_ADDRESS,
    STATUS_COUNT,
    ErrorCode,
    Register,
    State,
)
from appliance.outputs.result_queue import DEPTH
from appliance.schema.clocks import MS

PAGE = Path(__file__).with_name("REGISTERS.md")

_INTRODUCTION = f"""# Modbus TCP registers

Generated from `registers.py` by `python -m appliance.outputs.generate`; do not edit.

The appliance is the Modbus TCP server, the PLC the client; any unit identifier is answered. Addresses count from 0 as
on the wire (a tool that counts from 1 shows 40001 for address 0). Function codes: 3 or 4 read, 6, 16, 22 or 23 write;
all of them see the same registers. Access outside the two blocks, and a write to the status block, give exception 2.
Coils and discrete inputs do not exist: exception 1. Exception 6: the appliance does not keep up with your writes;
repeat the write.

Values wider than one register are big endian (ABCD): the lower address holds the more significant word.

**Read the status block in one request** ({STATUS_COUNT} registers from {STATUS_ADDRESS}): one read is consistent
in itself, two are not. Write the control block in one request ({CONTROL_COUNT} registers from {CONTROL_ADDRESS}).
Keep one request outstanding per connection.

## When is a part good?

Only if **all** of this holds in one read; in every other case, a lost connection included, the part is rejected:

1. `ResultValid` = 1, `Pass` = 1 and `Reject` = 0 (00 and 11 mean reject; a block of zeros is never good);
2. `Session` is the one you echo, and `ResultSeq` is not the last one you took in this session;
3. `PartIdEcho` is a part you expect: boot as in `EnteredBoot`, number greater than the last one of that boot and not
   above `EnteredNumber`;
4. the appliance's heartbeat (bit 15) changed within the last 500 ms.
"""

_TIMING = f"""## Sequence

Start: write the whole control block as zeros; read `Session`; write `SessionEcho` = `Session` and `Enable` = 1; from
then on toggle bit 15 at least every 100 ms. Until `SessionEcho` equals `Session` nothing is obeyed and no result is
shown.

```
PLC                                    appliance
                                       TriggerReady 1
                                       part at the sensor: EnteredNumber n, Busy 1, Exposing 1
                                       images taken: Exposing 0
                                       part at the gate: result words and ResultValid 1 in one block; Busy 0
read block, judge, store
AckSequence = ResultSeq, ResultAck 1
                                       ResultValid 0, result words 0
ResultAck 0
                                       next result, if any, with ResultValid 1
```

* The appliance toggles its heartbeat every {HEARTBEAT_NS // MS} ms, from the loop that handles parts: if that
  loop hangs, it stops.
* Up to {DEPTH} results wait, oldest first. When all places are taken `TriggerReady` drops; a further result finds no
  place, raises `Error`, is counted in `Overflowed`, leaves a gap in `ResultSeq`, and its part is not good. Nothing is
  overwritten.
* A result that is not acknowledged within the configured time (2 s), or a ResultAck that is not taken back, raises
  `Error`; the result stays. A ResultAck whose `AckSequence` does not name the offered result is ignored.
* Your heartbeat stale for 500 ms: `ResultValid`, `Pass` and `TriggerReady` are 0 until it moves again; results wait.
* {LATE_IN_A_ROW} parts in a row without a verdict in time: `Overload` and `Error`. Stop the line.
* `Error` is cleared by a rising edge of `ErrorReset` only.
* A restart of the appliance gives a new `Session` and an empty queue. Tell a restart of the PLC by `SessionEcho` = 0:
  the appliance begins a new session, clears the queue, and shows Reject for the parts that were on the belt.
* Recipe change: write `RecipeNumber`, then `JobChange` 1. `TriggerReady` drops; once no part and no result is pending
  `Changeover` is 1; when it is 0 again compare `ActiveRecipe` and `RecipeHash32` with what you expect, then
  `JobChange` 0.
* There is no bypass and no way to force Pass.
"""


def page() -> str:
    """Give the page's text."""
    return "\n".join(
        (
            _INTRODUCTION,
            _table("Status block, appliance to PLC (read only)", STATUS),
            _bits("StatusBits", registers.STATUS_BIT_NOTES),
            _codes("State", State),
            _codes("ErrorCode", ErrorCode),
            _errors(),
            _names("Disposition", {code: str(name) for name, code in DISPOSITION_CODES.items()}),
            _names("Cause", {code: str(name) for name, code in CAUSE_CODES.items()}),
            _table("Control block, PLC to appliance", CONTROL),
            _bits("ControlBits", registers.CONTROL_BIT_NOTES),
            _TIMING,
        )
    )


def _table(title: str, table: tuple[Register, ...]) -> str:
    rows = [f"## {title}\n", "| address | name | type | unit | meaning |", "|---|---|---|---|---|"]
    for register in table:
        last = register.address + register.type.words - 1
        place = str(register.address) if last == register.address else f"{register.address}-{last}"
        rows.append(f"| {place} | {register.name} | {register.type} | {register.unit} | {register.doc} |")
    return "\n".join(rows) + "\n"


def _bits(title: str, notes: dict[registers.StatusBit, str] | dict[registers.ControlBit, str]) -> str:
    rows = [f"### {title}\n", "| bit | name | meaning |", "|---|---|---|"]
    rows += [f"| {bit.bit_length() - 1} | {_camel(bit)} | {note} |" for bit, note in notes.items()]
    return "\n".join(rows) + "\n"


def _codes(title: str, codes: type[State] | type[ErrorCode]) -> str:
    return _names(title, {int(code): code.name.lower() for code in codes})


def _errors() -> str:
    rows = [f"| {int(code)} | {cause} | {remedy} |" for code, (cause, remedy) in PROBLEMS.items()]
    return "\n".join(("| error | cause | remedy |", "|---|---|---|", *rows)) + "\n"


def _names(title: str, names: dict[int, str]) -> str:
    listed = ", ".join(f"{code} {name}" for code, name in sorted(names.items()))
    return f"**{title}**: {listed}\n"


def _camel(bit: IntFlag | IntEnum) -> str:
    return "".join(word.capitalize() for word in str(bit.name).split("_"))


def main() -> None:
    """Write the page beside this file."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: written")


if __name__ == "__main__":
    main()
