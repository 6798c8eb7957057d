"""Floor 4: an OCX to practise against. Money here is Decimal and imports nothing of the desk: no slip passes twice."""
