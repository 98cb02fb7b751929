"""The service under Ray Serve."""
