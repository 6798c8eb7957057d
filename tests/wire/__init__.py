"""Tests of maker/wire."""
