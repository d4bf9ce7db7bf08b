"""Let people look at parts that wait, and label those that teach."""
