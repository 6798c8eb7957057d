"""Chaos: real processes and sockets, killed, stopped and told to stop at random moments; judged by the record."""
