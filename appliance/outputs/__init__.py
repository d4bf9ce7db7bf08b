"""Tell the plant: PLC, OPC UA, MQTT, Sparkplug B and EtherNet/IP."""
