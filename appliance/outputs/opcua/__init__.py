"""Serve the station by OPC UA, as OPC 40100-1 (Machine Vision) describes a vision system."""
