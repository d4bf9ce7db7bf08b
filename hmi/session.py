"""Say who is at the screen and what they may do."""
