"""`run` as a process: standard library only. It starts everything, stays as the maker's guard, and says how it ended.

parent    the order of a run: locks, venue, fire drill, kill file, maker under watch, and pulling for one that is gone
fire_drill what an earlier run left is swept before anything is placed, which proves key and route
start     starting processes: maker and practice exchange in sessions of their own
telling   the process that tells alerts for whoever has no monitor, and how seldom it tells the same
refusals  a start that came to no maker is told to people
companion the monitor beside the maker: a thread of its own, so that the watch never waits for it
watching  one maker's watch: the descriptors and the kill; what to do is maker.guard.watch's to say
latch     the kill file: while it exists nothing quotes and nothing starts
lock      one writer per account and per state folder; crash marks and incidents of the runs before
report    what a run ends with
settings  the one TOML loader; app/config checks what it loads, so two parsers cannot drift
key       where the API key is kept, what is noted beside it, and whether it is fit to quote with
buttons   `cancel-all` and `clear`, for when everything else may be broken
sparing   what the service's stop command leaves alone after a start that came to no maker
account   which account a configuration speaks for, whatever else is wrong with it
terminal  how several processes share one terminal
threads   for what may hang; without one the watch goes on
reloading who holds which key while configuration and key are read again, and what is said at the end
conductor its hands: threads that read the key and write run.json, so that the watch never waits
reload_command `reload`: asks the run that goes on, and tells what came of it
running   what a run that is going on, or was killed, says of itself
"""
