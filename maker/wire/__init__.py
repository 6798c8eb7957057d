"""Floor 2, pure: how others spell it. Bytes to desk events and back; each guess about OCX is marked ASSUMED."""
