"""Hold the services: one Node a file, named like its unit and its topics."""

SERVICES = ("acquire", "judge", "line", "record", "publish")
"""Unit names; `acquire` is a template with one instance per camera, `acquire@<camera>`."""
