"""The whole program as its users run it: real processes, real sockets, judged from the practice exchange's record."""
