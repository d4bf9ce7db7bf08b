"""Keep the OPC UA server shut to all but known clients and people: certificates, users, roles, limits."""
