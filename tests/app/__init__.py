"""Tests of maker/app."""
