"""Tell the plant: PLC handshake and broker."""
