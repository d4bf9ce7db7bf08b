"""Show the alarms of the station: what stands, what explains it, what to do; and take what people do about them."""
