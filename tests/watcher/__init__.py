"""The second host's watcher."""
