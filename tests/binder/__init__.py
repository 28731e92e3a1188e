"""Binder without Docker: what repo2docker would do with ``binder/``, and a rehearsal of it (``make binder``)."""
