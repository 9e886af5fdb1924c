"""Tables as pages of their own, which the report shows: no script, no network."""

import re

import mistune

_STYLE = """
body { font: 14px/1.45 "DejaVu Sans", Verdana, sans-serif; color: #1a1a1a; margin: 1.5em; }
.wide { overflow: auto; max-height: 95vh; margin: 1em 0; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; }
th { position: sticky; top: 0; background: #f0f0f0; text-align: left; vertical-align: bottom; }
th, td { padding: .25em .7em; border-bottom: 1px solid #ccc; }
td { vertical-align: top; }
.number { white-space: nowrap; }
th:first-child, td:first-child { position: sticky; left: 0; max-width: 26em; background: #f0f0f0; }
th:first-child { z-index: 1; }
"""


def page(title: str, markdown: str) -> str:
    """HTML of a table's Markdown twin; tags in it are shown, not followed, but for line breaks in cells."""
    body = mistune.create_markdown(escape=True, plugins=["table"])(markdown).replace("&lt;br&gt;", "<br>")
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    body = re.sub(r"<(t[dh])(?=[^>]*>(?:K = \d+|[-+\d][^<]{0,40})</)", r'<\1 class="number"', body)
    head = f'<meta charset="utf-8">\n<title>{mistune.escape(title)}</title>\n<style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}</body>\n</html>\n'
