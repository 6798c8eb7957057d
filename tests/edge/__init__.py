"""Tests of maker/edge."""
