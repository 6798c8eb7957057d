"""`monitor CONF`: whoever looks on. A process of its own, with a `read` key; it can slow or stop nothing but itself.

command       the words, the key, one monitor a state folder
process       its tasks: hearing, asking, looking, serving
observation   what is seen of a run at one moment: the maker's word, the processes, the exchange's own word
processes     whether maker and guard are there, by run.json and the kernel
exchange      the exchange's own word, by a key that may only read
lookout       the rules that judge an observation, and the services that act on it
view          one observation as the page gets it
health        whether it quotes, in one sentence
server        what is answered over HTTP
manners       names, origins and headers that every answer keeps to
board         the latest view, for every page that follows
pages         the page's files
kill          the kill button and its token
metrics       an observation as Prometheus reads it
journal_reads short reads of the journal that never stand in its writer's way
history       what the charts draw, and the latest fills
thinning      long series made short without losing extremes, gaps and ends
status_line   one line for a terminal: what it says
terminal_line ... and who draws it
alerting      the rule that turns observations into alerts, and the service that delivers them
catalogue     every alert there is: what it means, what to do
audit         the exchange's own word against the maker's ...
sightings     ... by what both said lately
holdings      ... and of positions
conditions    what is the matter, by one observation
surroundings  disk and journal
changes       what happens once: a run that ended as asked, another rate limit, other fees
summary       the last day in one sentence
standing      which alerts stand, and what is told of them
messages      how each kind of target wants a notice spelled
outbox        what one target has yet to be told
delivery      telling the targets, a worker each
targets       their secrets, and the doors made of them
alert_test    `alert-test`: one message to each target, and what came of it
tell          the same targets, for whoever has no monitor: a second host's watcher, a start that was refused
behind        giving way to those who have quotes out
"""
