"""Answer `firstshift train`: data in, proven bundle with its data sheet out."""
