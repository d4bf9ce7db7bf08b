"""Tell the PLC: the handshake, its register map and the Modbus TCP server."""
