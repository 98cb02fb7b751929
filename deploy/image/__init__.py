"""The container's image: what is in it besides the service, and `python -m deploy.image`, which builds and tries it.

`health.py` and `smoke.py` are copied into the image, so they need nothing but the standard library and the service.
"""
