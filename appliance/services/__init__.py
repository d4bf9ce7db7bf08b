"""Hold the services: one Node a file, named like its unit and its topics."""

SERVICES = ("acquire", "judge", "line", "record", "publish", "opcua", "shadow")
"""Unit names; `acquire` is a template with one instance per camera, `acquire@<camera>`; `shadow` runs where
the recipe names a shadow bundle, `opcua` where the station names an address for it."""
