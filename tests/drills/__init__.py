"""Fire drills: the replaced configuration, the table, the proxy, and some drills end to end."""
