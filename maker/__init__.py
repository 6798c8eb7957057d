"""A market maker for the OCX perpetuals exchange. Folders are floors; imports only go down.

report what happened, from the journal: on a terminal, as a page, as files
storms the whole program in virtual time under seeded faults, judged by invariants
monitor whoever looks on, in a process of its own: status page, metrics; it slows and stops nothing
preflight whether a start would go well, asked by reads alone
drills fire drills: the real programs as processes, with faults between them, judged by the exchange's record
app    tasks and the order of life and death: configuration, feeds, quoter, halt, supervisor, commands
paper  an OCX to practise against: exchange, other traders, reference feed (its arithmetic shares nothing with desk)
edge   I/O without tasks of its own: order lanes, reads and sign-in, journal, HTTP server
wire   pure: how others spell it, bytes to facts and back
desk   pure: what we know and what we decide; `now` is an argument
guard  beside the floors, standard library only: whoever outlives the maker
watcher `watch`, on a second host: pulls what the first one has left; standard library only, as guard and launch
launch the parent process: starts practice exchange and maker, and says how it ended
errors one tree, for every floor but the guard
"""
