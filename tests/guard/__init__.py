"""Tests of maker/guard."""
