"""The exit codes of every `dyno` command; README.md and docs/commands.md show the same table."""

from __future__ import annotations

DONE = 0
ANSWER_IS_NO = 1
NOT_MEASURED = 2
NOT_DECIDED = 3
INTERRUPTED = 130
TERMINATED = 143

MEANINGS = {
    DONE: "done",
    ANSWER_IS_NO: "measured, and the answer is no: a limit is missed, no candidate meets the limits, outputs "
    "differ, too little is compiled, nothing matches",
    NOT_MEASURED: "bad input, or nothing could be measured or written; also a fault in dyno itself",
    NOT_DECIDED: "measured, and not decided: a load test is void, the samples are too few, the 95 % interval "
    "holds the limit",
    INTERRUPTED: "interrupted (Ctrl-C)",
    TERMINATED: "ended by SIGTERM",
}
