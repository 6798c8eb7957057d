"""Floor 1, pure: what we know and what we decide. No trio, no clock, no I/O, no logging: `now` is an argument."""
