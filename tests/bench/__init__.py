"""Measurements by command; each prints its figures and fails when a stated bound is broken."""
