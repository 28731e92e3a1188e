"""A widget as one HTML page: its state, its script, and a stand-in for the kernel."""

import base64
import json
import os
from html import escape

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light; --jp-ui-font-color1: #222; --jp-ui-font-color2: #5f5f5f; --jp-border-color2: #ccc; }}
:root[data-theme="dark"] {{
  color-scheme: dark; --jp-ui-font-color1: #e6e6e6; --jp-ui-font-color2: #a8a8a8; --jp-border-color2: #444;
}}
body {{ margin: 0; padding: 16px; background: #fff; color: var(--jp-ui-font-color1); }}
:root[data-theme="dark"] body {{ background: #0e0f12; }}
header {{ display: flex; align-items: baseline; gap: 12px; max-width: 1100px; margin: 0 auto 8px; }}
header h1 {{ font: 600 18px system-ui, sans-serif; margin: 0; flex: 1; }}
header button {{ font: 13px system-ui, sans-serif; color: inherit; background: none; border: 1px solid; }}
#widget {{ max-width: 1100px; margin: 0 auto; --simnb-width: 1100px; }}
{css}
</style>
</head>
<body>
<header><h1>{title}</h1><button class="simnb-theme" type="button">light / dark</button></header>
<div id="widget"></div>
<script type="application/json" id="state">{state}</script>
<script type="module">
{esm}
</script>
</body>
</html>
"""

# What anywidget's model does, without a kernel behind it.
_KERNEL = """
const root = document.documentElement;
root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
document.querySelector(".simnb-theme").addEventListener("click", () => {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
});
function bytes(text) {
  return new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}
const revive = (key, value) => (value && value.base64 !== undefined ? bytes(value.base64) : value);
const state = JSON.parse(document.getElementById("state").textContent, revive);
const listeners = new Map();
const model = {
  get: (name) => state[name],
  set(name, value) {
    state[name] = value;
    (listeners.get(`change:${name}`) ?? []).forEach((listener) => listener());
  },
  save_changes() {},
  send() {},
  on: (name, listener) => listeners.set(name, [...(listeners.get(name) ?? []), listener]),
  off: (name, listener) => listeners.set(name, (listeners.get(name) ?? []).filter((one) => one !== listener)),
};
widget.render({ model, el: document.getElementById("widget") });
"""


def write(path, state, *, title, esm, css):
    """Write the page beside its place, then put it there.

    Args:
        path: Where; folders are made where they are missing.
        state: What the model holds, by name; bytes become base64.
        title: Of the page, as text.
        esm: An ES module that ends in ``export default { render };``.
        css: Its style sheet.

    Returns:
        The path.
    """
    text = json.dumps(state, default=_encode, separators=(",", ":"))
    module = esm.replace("export default", "const widget =") + _KERNEL
    page = _PAGE.format(
        title=escape(title),
        css=css,
        # Nothing in a string can end the element.
        state=text.replace("<", "\\u003c").replace("&", "\\u0026"),
        esm=module,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(page, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _encode(value):
    return {"base64": base64.b64encode(value).decode()}
