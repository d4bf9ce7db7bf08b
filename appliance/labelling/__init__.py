"""Say how people's labels stand, who is asked next, and how far people can be trusted; pure."""
