"""Tests of maker/paper."""
