"""Floor 6: fire drills. The programs as real processes, faults between them, judged by the exchange's record."""
