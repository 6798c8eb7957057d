"""Tests of maker/desk."""
