"""The Chromium of the machine, offline, and what its pages asked for and complained about."""

import contextlib
import os
import re
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Software rendering, and none of what a browser asks its maker for.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOCAL = re.compile(r"^(file:|data:|blob:|about:|(http|ws)://(127\.0\.0\.1|localhost)[:/])")


def program():
    """Path of Chromium, or None."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def started(profile):
    """A browser context of Playwright, with its profile in a folder."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=program(), headless=True, args=FLAGS
        )
        context.set_default_timeout(30_000)
        yield context
        context.close()


def new_page(context, *, width=1280, height=900):
    """A page that keeps what it asked other machines for, and what went wrong in it.

    In its ``simnb_requests`` and ``simnb_errors``; both ought to stay empty.
    """
    page = context.new_page()
    page.simnb_requests, page.simnb_errors = [], []
    page.on("request", lambda r: LOCAL.match(r.url) or page.simnb_requests.append(r.url))
    page.on("websocket", lambda s: LOCAL.match(s.url) or page.simnb_requests.append(s.url))
    page.on("console", lambda m: m.type == "error" and page.simnb_errors.append(f"{m.text} {m.location}"))
    page.on("pageerror", lambda error: page.simnb_errors.append(f"{error} {error.stack}"))
    page.set_viewport_size({"width": width, "height": height})
    return page
