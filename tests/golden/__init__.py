"""Literal transcripts of requests and answers, read by tests of both sides; `transcript` says how to write one."""
