"""The page around the sections: head, style and foot."""

from __future__ import annotations

from html import escape

from tuner.report import sections
from tuner.report.facts import Facts

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--ground:#fff;
--plate:#f6f8fa;--c0:#0969da;--c1:#1a7f37;--c2:#9a6700;--c3:#8250df;--c4:#bf3989;--c5:#57606a}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9da7b3;--line:#30363d;
--ground:#0d1117;--plate:#161b22;--c0:#58a6ff;--c1:#3fb950;--c2:#d29922;--c3:#bc8cff;
--c4:#f778ba;--c5:#8b949e}}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:54rem;background:var(--ground);
color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .3rem}
h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-top:1rem;border-top:1px solid var(--line)}
p,ul,figure{margin:.6rem 0}.soft,figcaption,caption{color:var(--soft);font-size:.9rem}
.value{font-size:1.5rem;font-weight:600}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;max-width:100%}
.wide{overflow-x:auto;margin:.6rem 0}table{overflow-wrap:normal}
@media screen and (max-width:600px){.wide>svg{min-width:34rem}}
caption{text-align:left;padding-bottom:.3rem}
th,td{padding:.25rem .9rem .25rem 0;text-align:left;vertical-align:top;
border-bottom:1px solid var(--line)}td{white-space:nowrap}td.t{white-space:normal;min-width:14rem}
.bars th{overflow-wrap:anywhere}thead th{color:var(--soft);font-weight:500;font-size:.9rem}
pre{background:var(--plate);padding:.8rem 1rem;border-radius:6px;overflow-x:auto;
font:13px/1.45 ui-monospace,monospace;white-space:pre-wrap}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:12px}
svg .x{text-anchor:middle}svg .y{text-anchor:end}.grid{stroke:var(--line);fill:none}
polyline{fill:none;stroke-width:2;stroke-linejoin:round}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem;padding:0;margin:.2rem 0}
.key i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em}
.bars{width:100%}.bars .bar{width:55%}.bars svg{height:.9rem}.bars rect{fill:var(--c0)}
.c0 polyline{stroke:var(--c0)}.c0 circle,.c0 path,.c0 i{fill:var(--c0);background:var(--c0)}
.c1 polyline{stroke:var(--c1)}.c1 circle,.c1 path,.c1 i{fill:var(--c1);background:var(--c1)}
.c2 polyline{stroke:var(--c2)}.c2 circle,.c2 path,.c2 i{fill:var(--c2);background:var(--c2)}
.c3 polyline{stroke:var(--c3)}.c3 circle,.c3 path,.c3 i{fill:var(--c3);background:var(--c3)}
.c4 polyline{stroke:var(--c4)}.c4 circle,.c4 path,.c4 i{fill:var(--c4);background:var(--c4)}
.c5 polyline{stroke:var(--c5)}.c5 circle,.c5 path,.c5 i{fill:var(--c5);background:var(--c5)}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#bbb;--ground:#fff;
--plate:#f6f8fa;--c0:#0969da;--c1:#1a7f37;--c2:#9a6700;--c3:#8250df;--c4:#bf3989;--c5:#57606a}
body{padding:0;max-width:none;font-size:11pt}figure,table,pre{break-inside:avoid}
h2{break-after:avoid}.key i,.bars rect{print-color-adjust:exact}}
"""


def page(facts: Facts) -> str:
    """Return a study's report as one HTML document.

    It brings its style and its pictures, has no script, and asks for nothing. All names and texts
    of people are escaped.
    """
    name = escape(facts.view.name)
    made = facts.made_at.strftime("%Y-%m-%d %H:%M UTC")
    body = "".join(
        f"<section><h2>{escape(title)}</h2>{html}</section>"
        for title, make in sections.ALL
        if (html := make(facts))
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{name}: report</title><style>{_STYLE}</style></head>\n"
        f"<body><header><h1>{name}</h1>{sections.lead(facts)}</header>\n<main>{body}</main>\n"
        f'<footer><p class="soft">Written {made} by tuner {escape(facts.version)} from '
        f"study {facts.view.id} on {escape(facts.url)}.</p></footer></body></html>\n"
    )
