"""LitServe: leaves the form of requests and answers to its user."""
