"""`watch`: on a second host, whoever pulls the quotes that the first one has left. Standard library only.

It has no link to the first host and needs none: the exchange itself tells how old each resting order is, and a working
maker lets none rest for longer than its configuration allows.

command   words, key, signals; carries steps out by the guard's blocking sockets; exit code and result
steps     what to do next: look, pull, read back, wait; generators that neither call nor look at a clock
ages      how old each order of ours is, by the exchange's clock and by ours, whichever is the surer
bounds    how old a working maker lets one become: from the configuration
teller    which of its lines people are told, and the process that tells them
notify    what systemd is told
"""
