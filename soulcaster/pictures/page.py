"""The map as one HTML file: data, code and style inside, nothing asked of any network."""

from __future__ import annotations

import html
import json
from importlib import resources

from soulcaster.pictures.plot import Plot

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';
  base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --st-text-color: #222; --st-background-color: #fff;
  --st-secondary-background-color: #f0f2f6; --st-border-color: #ccc; }}
@media (prefers-color-scheme: dark) {{ :root {{ --st-text-color: #eee; --st-background-color: #14161c;
  --st-secondary-background-color: #262a33; --st-border-color: #555; }} }}
body {{ margin: 12px; background: var(--st-background-color); color: var(--st-text-color);
  font-family: system-ui, sans-serif; }}
h1 {{ font-size: 18px; margin: 0 0 8px; }}
{style}
.map-tree, .map-stage {{ height: calc(100vh - 190px); min-height: 360px; }}
</style>
</head>
<body>
<h1>{title}</h1>
<div id="map"><div class="map-root"></div></div>
<script type="application/json" id="plot">{data}</script>
<script type="module">
{code}
const data = JSON.parse(document.getElementById("plot").textContent);
mountMap({{ parentElement: document.getElementById("map"), data }});
</script>
</body>
</html>
"""


def read_asset(name: str) -> str:
    """Text of `map.js` or `map.css`."""
    return resources.files("soulcaster.pictures").joinpath(name).read_text(encoding="utf-8")


def html_page(plot: Plot, title: str) -> str:
    """The whole file. Text of other people can end neither the data nor the page: `<` is written as an escape."""
    data = json.dumps(plot | {"has_search": True}, ensure_ascii=True)
    safe = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return _PAGE.format(title=html.escape(title), style=read_asset("map.css"), data=safe, code=read_asset("map.js"))
