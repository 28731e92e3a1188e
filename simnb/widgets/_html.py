"""Text of others inside HTML of ours, and the few styles that the widgets share.

Every label, file name and message goes through ``text``: a class called ``<img onerror=...>`` is shown, and
not run.
"""

from html import escape

#: JupyterLab's colours in light and dark, and what stands in for them elsewhere.
STYLE = """<style>
.simnb {
  color: var(--jp-ui-font-color1, #222);
  font: 13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif);
}
.simnb .muted { color: var(--jp-ui-font-color2, #5f5f5f); }
.simnb table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.simnb td, .simnb th { padding: 1px 8px; text-align: right; color: inherit; background: none; border: 0; }
.simnb th { font-weight: 600; }
</style>"""


def text(value):
    """``value`` as HTML that shows it."""
    return escape(str(value), quote=True)
