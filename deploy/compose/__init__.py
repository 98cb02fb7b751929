"""`python -m deploy.compose`: brings up the service and its load test as docker-compose.yml has them."""
