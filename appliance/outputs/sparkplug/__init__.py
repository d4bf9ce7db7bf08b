"""Tell the plant's SCADA about parts as a Sparkplug B 3.0 edge node."""

from appliance.outputs.sparkplug.output import edge_node

__all__ = ["edge_node"]
