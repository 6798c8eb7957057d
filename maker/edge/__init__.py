"""Floor 3, I/O: a call goes out, comes back, and says whether its outcome is known. Starts no tasks."""
