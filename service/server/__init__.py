"""The HTTP server, uvicorn, and what it lacks: limits on what a connection may do, an end that is to lose nothing."""
