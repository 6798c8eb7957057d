"""Strategies compared: the same market for each model, days of it, and a judge who reads the exchange's record."""
