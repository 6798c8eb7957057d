"""`check CONF`: whether a start would go well, one line a check with what to do. Reads only; nothing is ever placed.

verdict     what a check came to, and what all of them come to
sequence    one check after another, each with a deadline; what cannot be made for an earlier one is said
setting     what the checks learn from configuration and exchange, and how they reach out
local       configuration, key, state folder, journal, disk, descriptors
standing    what earlier runs left, and who holds the locks
rehearsal   whether the guard could watch and kill a maker on this machine, and reach the exchange by its own means
practice    whom the checks ask in mode paper
exchange    address, TLS, listing, clock, markets, grids, event streams
api_key     whether the key is accepted, its scope, expiry and pinned addresses
account     fees, rate limit, margin, losses, foreign orders and positions
references  reference feeds, side by side
command     the words, the order of all checks, the result
"""
