"""Whether a start would go well, asked by reads alone."""
