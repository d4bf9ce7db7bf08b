"""Play a Logix controller on cpppo (EtherNet/IP server, GPL): run by its own interpreter alone, imported by nothing.

    python logix_plc.py PORT TAG '[["Name", "DINT"], ...]'

The server answers Read and Write Tag for the whole structure, for each member by its name, and for the tag `<TAG>Ack`.
A ladder takes each new result and writes its number there. On stdout one line of JSON each: every write, and what was
taken. Wishes on stdin: `hold` and `go` stop and start the ladder, `ack N` writes a number.
"""

import json
import os
import struct
import sys
import threading

from cpppo.dotdict import dotdict
from cpppo.server.enip import device, logix, parser
from cpppo.server.enip.main import main

HANDLE = 0x1F57
FORMATS = {"DINT": "<i", "REAL": "<f"}

PORT, TAG, LAYOUT = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
SIZE = 4 * len(LAYOUT)
PLACES = {name: (4 * number, kind) for number, (name, kind) in enumerate(LAYOUT)}

memory = bytearray(SIZE)
ladder = {"holds": False, "taken": 0}
lock = threading.RLock()


def tell(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def member(name):
    if name not in PLACES:
        return 0
    at, kind = PLACES[name]
    return struct.unpack_from(FORMATS[kind], memory, at)[0]


def scan():
    """Do what the controller's program does in each of its cycles."""
    sequence = member("Sequence")
    if ladder["holds"] or sequence != member("SequenceCheck") or sequence in {0, ladder["taken"]}:
        return
    is_good = (member("Good"), member("Reject"), member("Online")) == (1, 0, 1)
    tell(event="taken", sequence=sequence, part=member("PartNumber"), good=is_good, cause=member("Cause"))
    ladder["taken"] = sequence


class Structure(parser.STRUCT):
    """A structure with a handle; its bytes are passed through."""

    structure_tag = HANDLE
    struct_calcsize = SIZE

    def __init__(self, name=None, **kwds):
        super().__init__(name=name, structure_tag=HANDLE, **kwds)


class Whole(device.Attribute):
    """The structure."""

    def __getitem__(self, key):
        record = dotdict()
        record["data.input"] = bytearray(memory)
        return [record]

    def __setitem__(self, key, value):
        raw = bytes(bytearray(value["input"]))
        with lock:
            memory[:] = raw.ljust(SIZE, b"\0")[:SIZE]
            told = {name: member(name) for name, _ in LAYOUT}
            tell(event="written", size=len(raw), values=told)
            scan()


class Part(device.Attribute):
    """One member of the structure, under its own name."""

    @property
    def value(self):
        return member(self.name.partition(".")[2])

    @value.setter
    def value(self, _value):
        raise AssertionError("members are written with the whole structure")


class Acknowledgement(device.Attribute):
    """The tag that the controller's program writes."""

    @property
    def value(self):
        return ladder["taken"]

    @value.setter
    def value(self, value):
        ladder["taken"] = int(value)


class Tag(device.Attribute):
    """Choose what stands behind a tag by its name."""

    def __new__(cls, name, type_cls, default):
        if name == TAG:
            return Whole(name, Structure)
        return (Part if "." in name else Acknowledgement)(name, type_cls, default)


resolve_first = device.resolve


def resolve(path, attribute=False):
    """Look a member up under its whole name; cpppo takes the structure before the dot."""
    names = [segment["symbolic"] for segment in path["segment"] if "symbolic" in segment]
    whole = {"segment": [{"symbolic": ".".join(names)}]} if len(names) > 1 else path
    return resolve_first(whole, attribute)


def listen():
    for line in sys.stdin:
        with lock:
            match line.split():
                case ["hold"]:
                    ladder["holds"] = True
                case ["go"]:
                    ladder["holds"] = False
                    scan()
                case ["ack", number]:
                    ladder["taken"] = int(number)
    os._exit(0)  # whoever started this is gone


device.resolve = logix.resolve = resolve
threading.Thread(target=listen, daemon=True).start()
tags = [f"{TAG}=DINT", f"{TAG}Ack=DINT", *(f"{TAG}.{name}={kind}" for name, kind in LAYOUT)]
sys.exit(main(argv=["--no-config", "-U", "-a", f"127.0.0.1:{PORT}", *tags], attribute_class=Tag))
