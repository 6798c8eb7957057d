"""What happened, from the journal alone: profit and where it came from, fills, quotes, requests, halts, latency.

reading  the journal, read-only, in short reads, as it was when the reading began
since    from when on, in words
words    how figures are written for people
runs     starts and how they ended
profit   profit and what made it, by market and moment
fills    fills and their markouts
quoting  how long both sides rested, and how far apart
ladders  what became of ladders, how soon, and the requests they took
halts    when quotes were pulled, why and for how long
whole    all of it
tables   the same as tables, for every form that follows
text     on a terminal
files    as comma-separated values, one file a table, and each fill
charts   drawings as SVG
page     one HTML file
command  `python run.py report`
"""
