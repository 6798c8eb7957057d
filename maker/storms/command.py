"""`simulate CONF --seeds A:B`: a configuration in virtual time, under seeded storms of faults, before it meets money.

The maker is the real one; the exchange, the network, the clocks and the guard's processes are simulated, so that a
storm takes a fraction of a second and one seed is one history. Whatever the configuration says, nothing leaves this
machine and no key is read.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from maker.errors import ConfigError, ExitCode
from maker.storms import campaign, findings
from maker.storms.campaign import Build, Tally
from maker.storms.findings import Finding
from maker.storms.progress import Progress
from maker.storms.requirements import RARE_FROM, REQUIRED_FROM, Needs
from maker.storms.schedule import Schedule
from maker.storms.tables import as_object, tables
from maker.storms.wiring import UsageError, prepared, read_schedule, wired
from maker.storms.workers import CannotWork, Failure

CORE_MINUTES: Final = 10.0  # simulated, a seed
SEEDS_MAX: Final = 10_000_000  # 300 hours of the core: more is a slip
INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EPILOG: Final = f"""
A storm is drawn from its seed: one to eight faults of network, exchange, machine and program, then a quiet time in
which the maker has to recover. In every storm invariants are judged by what the simulated exchange saw: that nothing
rests unattended, nothing is sent once quotes were pulled, no limit is passed, no exit is called clean that is not.

A violation is shown with its seed, a smaller storm that breaks the same, and a trace: what rested, the position and
the maker's state before and after each event. All of it is written to `storms` in the configuration's state folder:
seed-N.txt to read, seed-N.json for --schedule.

From {REQUIRED_FROM} storms on a campaign must also have met what it is for: at most 5 % void storms (without ladders,
fills or a fault while quotes rested), every class of faults, every reason to pull quotes, a cancel-all that was itself
refused, and so on (from {RARE_FROM} on ten minutes without an exchange, too). Otherwise its green would mean little.
One seed in a hundred is performed twice, in another process, and must have the same history; the hash of hashes is the
same for the same seeds, program and configuration.

exit codes: 0 no violation, and everything required was met; 1 otherwise, also when stopped before the end or when a
storm hung or crashed; 2 usage; 78 the configuration is refused.

examples:
  simulate conf/paper.toml --seeds 0:1000           a thousand storms, on every core
  simulate conf/live.toml --seeds 17 --trace        one storm, and what happened in it
  simulate conf/live.toml --schedule state/storms/seed-17.json
  simulate conf/live.toml --seeds 0:100000 --core   engine and exchange alone, ten simulated minutes a seed
  simulate conf/live.toml --steps --every 4         the maker cancelled, and struck by errors, at every fourth step;
                                                    simulate --steps --help tells the rest
"""


def main(argv: list[str]) -> int:
    """Perform the storms; return 0 when all is well, 1 when not, 2 for wrong words, 78 for a wrong configuration."""
    if "--steps" in argv:
        from maker.storms import steps

        return steps.main([word for word in argv if word != "--steps"])
    words = parser().parse_args(argv)
    said: dict[str, Any] = {}
    notes: Sequence[str] = ()

    def ended(reason: str, code: ExitCode) -> int:
        say(reason)
        if words.json:
            say(json.dumps({"reason": reason, "exit_code": int(code), "notes": list(notes), **said}))
        return code

    if problem := contradiction(words):
        return ended(problem, ExitCode.USAGE)
    try:
        ready, folder, notes = prepared(words.configuration)
    except ConfigError as wrong:
        return ended(f"configuration: {wrong}", ExitCode.REFUSED_TO_START)
    for note in notes:
        say(f"note: {note}")
    build, needs = wired(ready, words.core, words.minutes, not words.no_swarm, words.without)
    if unknown := sorted(words.without - set(needs.faults) if needs.faults else ()):
        return ended(f"no class of faults is called {unknown[0]}; there are: {', '.join(needs.faults)}", ExitCode.USAGE)
    needs = attrs.evolve(needs, faults={name: row for name, row in needs.faults.items() if name not in words.without})
    try:
        with interruptible() as stopped:
            if words.schedule is not None:
                schedule = read_schedule(words.schedule, len(ready.markets))
                return ended(*one_storm(build, schedule, needs, words.trace, stopped, said))
            return ended(*many_storms(words, build, needs, folder, stopped, said))
    except UsageError as wrong:
        return ended(str(wrong), ExitCode.USAGE)
    except CannotWork as cannot:
        sys.stderr.write(cannot.detail)
        return ended(f"no storm could be performed: {cannot}", ExitCode.FAILURES_FOUND)


# -- words --------------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog="run.py simulate",
        description="Put your configuration through storms of faults, in virtual time.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("configuration", type=Path, help="of either mode; whom it speaks to is replaced")
    which = words.add_mutually_exclusive_group(required=True)
    which.add_argument("--seeds", type=seeds, metavar="A:B", help="from A to before B; or one seed")
    which.add_argument("--steps", action="store_true", help="cancelled and struck at every step; see --steps --help")
    which.add_argument("--schedule", type=Path, metavar="FILE", help="one storm as it was printed, instead of seeds")
    words.add_argument(
        "--jobs", type=positive, metavar="N", default=len(os.sched_getaffinity(0)), help="processes (every core)"
    )
    words.add_argument("--trace", action="store_true", help="show what happened, even if nothing is wrong; one seed")
    words.add_argument("--no-swarm", action="store_true", help="every class of faults may come in every storm")
    words.add_argument("--without", nargs="+", default=[], metavar="NAME", help="leave these classes of faults out")
    words.add_argument("--core", action="store_true", help="only engine and exchange, on a heap of events")
    words.add_argument("--minutes", type=float, metavar="M", help=f"simulated, of each --core seed ({CORE_MINUTES:g})")
    words.add_argument("--json", action="store_true", help="end with one JSON object that has a row a violation")
    return words


def seeds(text: str) -> range:
    """`A:B` or `A`."""
    start, colon, stop = text.partition(":")
    try:
        found = range(int(start), int(stop) if colon else int(start) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write 0:1000, or one seed") from None
    if found.start < 0 or not 0 < len(found) <= SEEDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}: write 0:1000, at least one seed and at most {SEEDS_MAX}")
    return found


def positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes")
    return int(text)


def contradiction(words: argparse.Namespace) -> str:
    """What these words cannot mean together; also puts in what was not said."""
    words.without = frozenset(words.without)
    if words.core and (words.schedule or words.trace or words.no_swarm or words.without):
        return "--core draws no schedule: --schedule, --trace, --no-swarm and --without belong to the whole program"
    if words.minutes is not None and not words.core:
        return "--minutes belongs to --core: a whole storm lasts until it is over"
    if words.minutes is not None and not 0 < words.minutes < 1e6:
        return "--minutes is a number above 0"
    if words.trace and words.seeds is not None and len(words.seeds) > 1:
        return "--trace shows one storm: give one seed"
    words.minutes = CORE_MINUTES if words.minutes is None else words.minutes
    return ""


# -- what is performed --------------------------------------------------------------------------------------------


def one_storm(
    build: Build, job: Schedule, needs: Needs, always: bool, stopped: Callable[[], bool], said: dict[str, Any]
) -> tuple[str, ExitCode]:
    """Perform a schedule; return the sentence and the exit code."""
    tally = Tally(attrs.evolve(needs, alone=True), 1)
    began = time.monotonic()
    told = findings.tell(build, job, lambda: not stopped())
    tally.seconds = time.monotonic() - began
    outcome, shown = (told, "") if isinstance(told, Failure) else told
    tally.add(job.seed, outcome)
    if always or tally.violated:
        say(shown)
    said.update(as_object(tally, [], {}))
    say(tables(tally))
    return verdict(tally, stopped())


def many_storms(
    words: argparse.Namespace,
    build: Build,
    needs: Needs,
    folder: Path,
    stopped: Callable[[], bool],
    said: dict[str, Any],
) -> tuple[str, ExitCode]:
    """Perform the seeds, explain what was found, print it all; return the sentence and the exit code."""
    progress = Progress(sys.stderr)

    def going_on(tally: Tally) -> bool:
        progress.show(tally)
        return not stopped()

    seconds_max = campaign.STORM_SECONDS_MAX * max(1.0, words.minutes / CORE_MINUTES)
    tally = campaign.run(
        build,
        words.seeds,
        needs,
        processes=words.jobs,
        clock=time.monotonic,
        going_on=going_on,
        seconds_max=seconds_max,
    )
    progress.end(tally)
    found: list[Finding] = []
    if tally.violated and not stopped():
        sys.stderr.write("making the storms smaller that broke something …\n")
        found = findings.explain(build, tally.violated, words.jobs, lambda: not stopped())
    elif words.trace and tally.digests and not stopped():
        told = findings.tell(build, words.seeds[0], lambda: not stopped())
        say(told.sentence if isinstance(told, Failure) else told[1])
    files = written(words, folder, found)
    said.update(as_object(tally, found, files))
    say(tables(tally))
    for finding in found[:1]:
        say("\n" + findings.page(finding, again(words, files.get(finding.seed, ""), finding)))
    return verdict(tally, stopped())


def written(words: argparse.Namespace, folder: Path, found: Sequence[Finding]) -> dict[int, str]:
    """Write a file for each; return their paths by seed."""
    files: dict[int, str] = {}
    try:
        for finding in found:
            path = folder / f"seed-{finding.seed}.txt"
            findings.write(path, finding, again(words, str(path), finding))
            files[finding.seed] = str(path)
    except OSError as problem:
        say(f"note: {folder} cannot be written ({problem.strerror}); what was found is only here")
    return files


def again(words: argparse.Namespace, file: str, finding: Finding) -> str:
    """The command that performs it again."""
    how = f"python run.py simulate {words.configuration}"
    if words.core:
        return f"{how} --core --minutes {words.minutes:g} --seeds {finding.seed}"
    return f"{how} --schedule {Path(file).with_suffix('.json')}" if file else f"{how} --seeds {finding.seed}"


def verdict(tally: Tally, stopped: bool) -> tuple[str, ExitCode]:
    """One sentence and the exit code."""
    wrong = [f"{len(tally.violations)} violations in {len(tally.violated)} storms"] if tally.violated else []
    if tally.failures:
        wrong.append(f"{len(tally.failures)} storms came to nothing")
    if tally.unmet:
        wrong.append(f"not met: {', '.join(one.name for one in tally.unmet)}")
    if stopped:
        wrong.insert(0, f"stopped after {tally.done} of {tally.size} storms")
    if wrong:
        return "; ".join(wrong), ExitCode.FAILURES_FOUND
    assert tally.passed, "what is not passed has a reason"
    return f"{tally.done} storms, no violation", ExitCode.CLEAN


# -- the process --------------------------------------------------------------------------------------------------


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Note signals instead of dying of them, and yield whether one has come: what is known is printed first."""
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # nohup stays in force
                signal.signal(number, lambda number, _frame: came.append(number))
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
