"""One test file per room; the folders mirror maker/."""
