"""The report as one HTML file: charts and tables, light and dark, from a phone's width on, with nothing from outside.

There is no script and no address in it, and its own policy forbids both. It is well-formed XML too, so that a strict
parser can tell that nothing of the journal, in which the exchange's own words stand, has got out of its place.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final

from maker.report import pictures, words
from maker.report.pictures import Picture
from maker.report.since import as_text
from maker.report.style import STYLE
from maker.report.table import LEFT, Kind, Table
from maker.report.tables import tables
from maker.report.whole import Report

ROWS_MAX: Final = 100  # of a table that has its most important rows first
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: Report) -> str:
    """The whole file. It depends on nothing but the report."""
    body = [header(report)]
    if report.runs:
        by_key = {table.key: table.shown() for table in tables(report)}
        body += [
            section("money", "Profit", pictures.money(report), [by_key["profit"]]),
            *(
                section(f"market-{number}", name, pictures.market(report, name, number), [])
                for number, name in enumerate(report.markets)
            ),
            section("fills", "Fills", [], [by_key["fills_by_market"], by_key["markouts"]]),
            section("quoting", "Quotes", pictures.uptime(report), [by_key["quotes"], by_key["spreads"]]),
            section("halting", "Halts", [], [by_key["halts_by_cause"], by_key["halts"], by_key["not_quoting"]]),
            section(
                "orders",
                "Requests and latency",
                [*pictures.requests(report), *pictures.latency(report)],
                [by_key["ladders"], by_key["requests"], by_key["latency"]],
            ),
            section("starts", "Runs", [], [by_key["runs"]]),
        ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        '<meta name="color-scheme" content="light dark"/>\n'
        f"<title>maker: {safe(window_words(report))}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#content">To the figures</a>\n<main id="content">\n{"".join(body)}</main>\n'
        "</body>\n</html>\n"
    )


def window_words(report: Report) -> str:
    return f"{as_text(report.window.since_ms)} to {as_text(report.window.until_ms - 1)} UTC"


def safe(text: str) -> str:
    """A text of whatever origin as it may stand in the page; what no XML may hold becomes a question mark."""
    return html.escape("".join(letter if letter.isprintable() else "?" for letter in text))


def header(report: Report) -> str:
    """What it is about, all of it in one sentence, the figures that matter most, and what is not known."""
    since, until = report.window.since_ms, report.window.until_ms - 1
    total = report.profit.total.profit
    fills = sum(one.fills for one in report.fills.markets.values())
    unasked = sum(not one.asked for one in report.halts.halts)
    known = [report.quoting.of_market(market) for market in report.quoting.markets]
    told = sum(one.told for one in known)
    tiles = [
        ("Profit", words.amount(total, words.decimals_for([total])), "good" if total >= 0 else "bad"),
        ("Fills", words.count(fills), ""),
        ("Both sides quoted", words.share(sum(one.both for one in known) / told) if told else words.NONE, ""),
        ("Unasked halts", words.count(unasked), "bad" if unasked else "good"),
        ("Running", words.span(report.alive_ms / 1000), ""),
    ]
    figures = "".join(
        f'<div class="tile"><dt>{safe(name)}</dt><dd class="{kind}">{safe(value)}</dd></div>'
        for name, value, kind in tiles
    )
    accounts = sorted({f"{run.mode}, account {run.account}" for run in report.runs})
    what = "; ".join([*accounts, f"{report.path}, schema {report.schema}"])
    window = " ".join(f"<span>{safe(part)}</span>" for part in (f"{as_text(since)} to", f"{as_text(until)} UTC"))
    listed = "".join(f"<li>{safe(note)}</li>" for note in report.notes)
    notes = (
        '<section class="notes" aria-labelledby="notes-h"><h2 id="notes-h">What is not known</h2>'
        f"<ul>{listed}</ul></section>"
    )
    return (
        f'<header><p class="what">maker: what happened</p><h1>{window}</h1><p class="lead">{safe(report.sentence)}</p>'
        f'<p class="what">{safe(what)}</p></header>\n'
        + (f'<dl class="tiles">{figures}</dl>\n' if report.runs else "")
        + (notes + "\n" if report.notes else "")
    )


def section(key: str, title: str, drawn: Sequence[Picture], told: Iterable[Table]) -> str:
    """Pictures side by side, tables below them. Nothing where there is neither."""
    figures = "".join(figure(one) for one in drawn)
    parts = [table_element(table) for table in told]
    if not figures and not parts:
        return ""
    return (
        f'<section aria-labelledby="{key}-h"><h2 id="{key}-h">{safe(title)}</h2>'
        + (f'<div class="figures">{figures}</div>' if figures else "")
        + "".join(parts)
        + "</section>\n"
    )


def figure(picture: Picture) -> str:
    """A picture under its title, with its legend."""
    legend = "".join(
        f'<li><span class="swatch {shape} s{style}" aria-hidden="true"></span>{safe(name)}</li>'
        for name, style, shape in picture.legend
    )
    below = f'<ul class="legend">{legend}</ul>' if legend else ""
    return f"<figure><figcaption>{safe(picture.title)}</figcaption>{picture.svg}{below}</figure>"


def table_element(table: Table) -> str:
    """A table in a frame of its own, which the keyboard can scroll where the window is narrow."""
    title = safe(table.title)
    if not table.rows:
        return f'<h3>{title}</h3><p class="note">none</p>'
    written = table.written()
    hidden = 0
    if table.most_important_first and len(written) > ROWS_MAX:
        written, hidden = written[:ROWS_MAX], len(written) - ROWS_MAX
    first_total = len(written) - table.totals
    head = "".join(
        f'<th scope="col"{"" if column.kind in LEFT else NUMBER}>{safe(column.title)}</th>' for column in table.columns
    )
    rows = "".join(row_element(table, row, is_total=at >= first_total) for at, row in enumerate(written))
    more = f" {words.count(hidden)} more are in the files that --csv writes." if hidden else ""
    return (
        f'<h3 id="{table.key}-t">{title}</h3><div class="scroll" role="region" aria-labelledby="{table.key}-t" '
        f'tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        + (f'<p class="note">{safe(table.note + more)}</p>' if table.note or more else "")
    )


NUMBER: Final = ' class="number"'
LONG: Final = 28  # characters: a longer text may take several lines


def row_element(table: Table, row: Sequence[str], *, is_total: bool) -> str:
    cells = []
    for at, (column, value) in enumerate(zip(table.columns, row, strict=True)):
        kinds = [] if column.kind in LEFT else ["number"]
        if column.kind in (Kind.AMOUNT, Kind.BPS) and value[:1] in ("+", "-") and value != words.NONE:
            kinds.append("good" if value[0] == "+" else "bad")
        if len(value) > LONG:
            kinds.append("long")
        kind = f' class="{" ".join(kinds)}"' if kinds else ""
        cells.append(f'<th scope="row"{kind}>{safe(value)}</th>' if at == 0 else f"<td{kind}>{safe(value)}</td>")
    begin = '<tr class="total">' if is_total else "<tr>"
    return f"{begin}{''.join(cells)}</tr>"
