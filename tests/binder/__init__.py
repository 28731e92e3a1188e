"""Binder without Docker: what repo2docker makes of ``binder/``, and a rehearsal (``make binder``)."""
