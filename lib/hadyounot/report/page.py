"""Tables as pages of their own, which the report shows: no script, no network."""

import mistune

_STYLE = """
body { font: 14px/1.45 "DejaVu Sans", Verdana, sans-serif; color: #1a1a1a; margin: 1.5em; }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }
th { position: sticky; top: 0; background: #f0f0f0; text-align: left; vertical-align: bottom; }
th, td { padding: .25em .7em; border-bottom: 1px solid #ccc; }
td { vertical-align: top; }
"""


def page(title: str, markdown: str) -> str:
    """HTML of a table's Markdown twin; tags in it are shown, not followed, but for line breaks in cells."""
    body = mistune.create_markdown(escape=True, plugins=["table"])(markdown).replace("&lt;br&gt;", "<br>")
    head = f'<meta charset="utf-8">\n<title>{mistune.escape(title)}</title>\n<style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}</body>\n</html>\n'
