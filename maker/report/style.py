"""How the page looks: one style sheet, colours once for light and once for dark.

Text and lines have at least the contrast that WCAG 2.1 asks for (4.5:1, lines 3:1) on both grounds; the series' colours
are told apart with the common kinds of colour blindness too (after Okabe and Ito), and differ by dash besides.
"""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{--ground:#f6f7f9;--card:#fff;--ink:#16202c;--soft:#566273;--line:#d9dee5;--grid:#e8ebf0;--good:#0b6b3a;
--bad:#b3261e;--s0:#16202c;--s1:#0067a5;--s2:#b45000;--s3:#00785a;--s4:#8e4585;--s5:#7a6400;--s6:#b3261e}
@media (prefers-color-scheme:dark){:root{--ground:#0f1318;--card:#181e25;--ink:#e8edf3;--soft:#a3afbd;--line:#2d3742;
--grid:#26303a;--good:#5fd39a;--bad:#ff8f85;--s0:#e8edf3;--s1:#5ab4f0;--s2:#f0a04b;--s3:#3ecba0;--s4:#d79ad0;
--s5:#d8c24a;--s6:#ff8f85}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1240px;margin:0 auto;padding:20px 16px 48px}
h1{font-size:1.35rem;line-height:1.3;margin:0 0 6px}
h2{font-size:1.1rem;margin:34px 0 10px}
h3{font-size:.95rem;margin:20px 0 6px}
p{margin:0}
.lead{font-size:1.05rem}
.what,.note,figcaption,dt{color:var(--soft)}
.what{font-size:.85rem;margin-top:4px;overflow-wrap:anywhere}
.note{font-size:.82rem;margin-top:6px;max-width:88ch}
.skip{position:absolute;left:-999px}
.skip:focus{left:8px;top:8px;background:var(--card);color:var(--ink);padding:6px 10px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:10px;margin:18px 0 0}
.tile,figure,.scroll,.notes{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:10px 14px}
dt{font-size:.8rem}
dd{margin:0;font-size:1.3rem;font-weight:600;font-variant-numeric:tabular-nums}
.good{color:var(--good)}
.bad{color:var(--bad)}
.notes{margin-top:16px;padding:10px 16px;font-size:.88rem}
.notes h2{font-size:.9rem;margin:0 0 4px}
.notes ul{margin:0;padding-left:18px}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,285px),1fr));gap:12px}
figure{margin:0;padding:10px 10px 8px;max-width:480px}
rect{shape-rendering:crispEdges}
figcaption{font-size:.85rem;font-weight:600;margin:0 2px 4px}
svg{display:block;width:100%;height:auto;max-height:400px}
.legend{display:flex;flex-wrap:wrap;gap:2px 14px;list-style:none;margin:4px 2px 0;padding:0;font-size:.8rem}
.swatch{display:inline-block;width:16px;margin-right:5px;vertical-align:middle;color:var(--ink)}
.swatch.line{border-top:2.5px solid currentColor}
.swatch.area{height:10px;background:currentColor}
.swatch.up,.swatch.down{width:0;border:5px solid transparent}
.swatch.up{border-bottom:9px solid currentColor;border-top:0}
.swatch.down{border-top:9px solid currentColor;border-bottom:0}
.s0{color:var(--s0)}.s1{color:var(--s1)}.s2{color:var(--s2)}.s3{color:var(--s3)}.s4{color:var(--s4)}
.s5{color:var(--s5)}.s6{color:var(--s6)}
.scroll{overflow-x:auto}
.scroll:focus-visible{outline:3px solid var(--s1);outline-offset:1px}
table{border-collapse:collapse;width:100%;font-size:.86rem;font-variant-numeric:tabular-nums}
th,td{padding:5px 12px;text-align:left;white-space:nowrap;font-weight:400}
.long{min-width:26ch;max-width:64ch;white-space:normal}
h1 span{white-space:nowrap}
thead th{color:var(--soft);border-bottom:1px solid var(--line)}
tbody tr+tr{border-top:1px solid var(--grid)}
.total th,.total td{font-weight:600}
th.number,td.number{text-align:right}
.tick{font:11.5px system-ui,sans-serif;fill:var(--soft)}
.end{text-anchor:end}.mid{text-anchor:middle}.begin{text-anchor:start}
.grid{stroke:var(--grid)}
.zero{stroke:var(--soft);stroke-width:.8}
.limit{stroke:var(--s6);stroke-dasharray:5 3}
.halt{stroke:var(--s6);stroke-width:1.2}
.sum{stroke:var(--ink);stroke-width:2}
.empty{fill:var(--grid)}
[class^=l]{fill:none;stroke-width:1.5;stroke-linejoin:round}
.l0{stroke:var(--s0);stroke-width:2.2}.l1{stroke:var(--s1)}.l2{stroke:var(--s2);stroke-dasharray:6 2}
.l3{stroke:var(--s3);stroke-dasharray:2 2}.l4{stroke:var(--s4);stroke-dasharray:8 2 2 2}
.l5{stroke:var(--s5);stroke-dasharray:1 3}
.f0{fill:var(--s0)}.f1{fill:var(--s1)}.f2{fill:var(--s2)}.f3{fill:var(--s3)}.f4{fill:var(--s4)}.f5{fill:var(--s5)}
@media (max-width:520px){main{padding:14px 10px 40px}th,td{padding:5px 8px}dd{font-size:1.15rem}}
@media print{body{background:#fff}.scroll{overflow:visible}figure,.tile{break-inside:avoid}}
"""
