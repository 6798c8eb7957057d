"""Floor 5: tasks, and the order of life and death. Nurseries are opened here and closed by the function that opened."""
