"""Name every error that crosses a module border.

ApplianceError
├── ConfigError        what a person wrote is wrong: one line, exit code 2
├── CameraError        the camera or its producer
├── FrameOverwritten   a borrowed slot was reclaimed before its reader was done
├── RuntimeFault       a model, its runtime or its bundle
├── LinkError          a wire to the world: microcontroller, PLC, broker
├── StoreError         database, image files, disk
└── Refused            an owner said no to a request
"""


class ApplianceError(Exception):
    """Any error this appliance raises on purpose; its text is one line a person can act on."""


class ConfigError(ApplianceError):
    """Something a person wrote (file, argument, recipe) cannot be used as it is."""


class CameraError(ApplianceError):
    """A camera, its producer or its stream failed."""


class FrameOverwritten(ApplianceError):
    """A frame slot was reclaimed while, or before, it was read; its pixels must not be used."""


class RuntimeFault(ApplianceError):
    """A model cannot be loaded or run as its bundle promises."""


class LinkError(ApplianceError):
    """A wire to the world is broken: microcontroller, PLC or broker."""


class StoreError(ApplianceError):
    """The record store cannot keep what it was given."""


class Refused(ApplianceError):
    """The owner of a thing refused a request; nothing was changed."""
