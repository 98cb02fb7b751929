"""The HTTP server, uvicorn, and what it lacks: limits on what a connection may do, and an end that loses nothing."""
