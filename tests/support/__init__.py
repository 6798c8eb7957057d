"""What several tests share: fakes with a script."""
