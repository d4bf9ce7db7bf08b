"""Host side of the MCU that owns the part trigger, the camera lines and the reject gate."""
