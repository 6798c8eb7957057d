"""Tests of maker/monitor."""
