"""Watch the line from its facts: alarms, charts, shifts; pure."""
