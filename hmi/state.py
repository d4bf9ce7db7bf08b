"""State what the touchscreen knows of the station; a fold of messages, no Qt."""
