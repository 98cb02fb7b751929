"""Ray Serve, on one machine."""
