"""Rows that are played from the tape."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks.compare.simulate import counted
from benchmarks.gate.peers import peers
from benchmarks.gate.replay import NEVER, SIGNS, Game, Played, disjoint, draws, play, scaled
from benchmarks.gate.tape import TapeEpoch
from modeldyno.trials.compare.blocks import Pair
from modeldyno.trials.compare.flips.statistic import flip_test
from modeldyno.trials.compare.looks.sequential import limit_of
from modeldyno.trials.compare.metrics import THROUGHPUT, statistic_of

Row = dict[str, Any]
Tape = dict[str, list[TapeEpoch]]
"""Epochs by service."""
DRAWN = 5
ALARMS = ("regression", "improvement")
RESAMPLES = 200


def alarms(tape: Tape, tries: int) -> Iterator[Row]:
    """Nothing differs: gates with the floor, of one epoch and of five."""
    for service, epochs in tape.items():
        for metric in ("p50_ms", THROUGHPUT):
            game = Game(metric=metric)
            single = [play(*drawn, game) for drawn in disjoint(epochs)]
            yield _row(f"{service}, {metric}: disjoint gates of one epoch, alarms", single, ALARMS)
            five = [play(*drawn, game) for drawn in draws(epochs, DRAWN, tries, 1)]
            yield {
                **_row(f"{service}, {metric}: gates of {DRAWN} drawn epochs, alarms", five, ALARMS),
                **_seconds(five),
            }


def levels(tape: Tape, tries: int) -> Iterator[Row]:
    """Nothing differs, floor 0, nothing passes: the test alone keeps its level."""
    for service, epochs in tape.items():
        for alpha in (0.01, 0.1):
            game = Game(limit=NEVER, alpha=alpha)
            drawn = list(draws(epochs, DRAWN, tries, 2))
            alarmed = [play(*each, game).verdict == "regression" for each in drawn]
            low, high = _by_epochs(epochs, drawn, alarmed)
            row = counted(sum(alarmed), len(alarmed))
            yield {
                "what": f"{service}: the test alone at {alpha:.0%}, one-sided alarms",
                **row,
                "low": min(low, row["low"]),
                "high": max(high, row["high"]),
            }


def found(tape: Tape, tries: int) -> Iterator[Row]:
    """+5 % in every request of the candidate."""
    for service, epochs in tape.items():
        for metric in ("p50_ms", "p95_ms", THROUGHPUT):
            share = 1 / 1.05 if metric == THROUGHPUT else 1.05
            limit = limit_of(0.05 if metric != THROUGHPUT else 1 - share)
            few = tries if metric != "p95_ms" else max(1, tries // 10)
            game = Game(metric=metric, slower=1.05, limit=limit)
            played = [play(*drawn, game) for drawn in draws(epochs, DRAWN, few, 3)]
            row = _row(f"{service}, {metric}: +5 %, found", played, ("regression",))
            yield {**row, **_seconds([each for each in played if each.verdict == "regression"])}


def tails(tape: Tape, tries: int) -> Iterator[Row]:
    """p99 of the 1 ms service by the number of requests, both sides together; one look at 1 %."""
    epochs = tape.get("1 ms", [])
    for slower, requests in ((1.05, 40_000), (1.10, 10_000), (1.0, 40_000)):
        hits = number = 0
        for pairs in _of_requests(epochs, requests, max(1, tries // 25)):
            moved = [Pair(each.number, each.baseline, scaled(each.candidate, slower)) for each in pairs]
            statistic = statistic_of("p99_ms", moved)
            hits += flip_test(statistic, SIGNS.of(statistic.numbers)).p_more <= 0.01
            number += 1
        if number:
            yield {"what": f"p99 {slower - 1:+.0%}, {requests:,} requests, found", **counted(hits, number)}


def sizes(tape: Tape, tries: int) -> Iterator[Row]:
    """A gate states the smallest regression that it finds 80 % of the time: injected into another gate."""
    for service, epochs in tape.items():
        rng, hits, stated = np.random.default_rng(7), 0, list[float]()
        for drawn, swapped in draws(epochs, DRAWN, tries, 5):
            smallest = play(drawn, swapped, Game()).smallest
            if smallest is None:
                continue
            anew = [bool(coin) for coin in rng.random(len(drawn)) < 0.5]
            order = [drawn[place] for place in rng.permutation(len(drawn))]
            hits += play(order, anew, Game(slower=1 + smallest)).verdict == "regression"
            stated.append(smallest)
        if stated:
            row = counted(hits, len(stated))
            yield {"what": f"{service}: found at the stated size", **row, "stated": round(median(stated), 5)}


def peers_row(tape: Tape, tries: int) -> Iterator[Row]:
    """The rules of the field, on each service."""
    for service, epochs in tape.items():
        yield from ({**row, "what": f"{service}: {row['what']}"} for row in peers(epochs, max(1, tries // 5)))


def _row(what: str, played: Sequence[Played], verdicts: Iterable[str]) -> Row:
    wanted = set(verdicts)
    hits = sum(each.verdict in wanted for each in played)
    undecided = sum(each.verdict == "inconclusive" for each in played)
    return {"what": what, **counted(hits, max(1, len(played))), "inconclusive": undecided}


def _seconds(played: Sequence[Played]) -> Row:
    ended = sorted(each.seconds for each in played if each.verdict != "inconclusive")
    return {"median_s": median(ended), "p90_s": ended[int(0.9 * len(ended))]} if ended else {}


def _by_epochs(
    epochs: Sequence[TapeEpoch], drawn: Sequence[tuple[list[TapeEpoch], list[bool]]], hits: Sequence[bool]
) -> tuple[float, float]:
    """95 % interval of the share, by resampling epochs: a gate weighs as its epochs were drawn again."""
    rng = np.random.default_rng(8)
    places = {id(epoch): place for place, epoch in enumerate(epochs)}
    rows = [[places[id(epoch)] for epoch in each] for each, _ in drawn]
    shares, hit = [], np.array(hits, np.float64)
    for _ in range(RESAMPLES):
        times = rng.multinomial(len(epochs), [1 / len(epochs)] * len(epochs))
        weights = np.array([math.prod(int(times[place]) for place in row) for row in rows], np.float64)
        if weights.sum() > 0:
            shares.append(float((weights * hit).sum() / weights.sum()))
    if not shares:
        return 0.0, 1.0
    low, high = np.quantile(shares, (0.025, 0.975))
    return round(float(low), 5), round(float(high), 5)


def _of_requests(epochs: Sequence[TapeEpoch], requests: int, tries: int) -> Iterator[list[Pair]]:
    """Pairs of drawn epochs until they have so many requests; none where the tape has fewer."""
    for drawn, swapped in draws(epochs, len(epochs), tries, 6):
        taken, number = list[Pair](), 0
        for epoch, swap in zip(drawn, swapped, strict=True):
            for pair in epoch.pairs:
                sides = (pair.candidate, pair.baseline) if swap else (pair.baseline, pair.candidate)
                if pair.number in epoch.tainted or number >= requests:
                    continue
                taken.append(Pair(len(taken), *sides))
                number += sum(block.requests for block in sides)
        if number >= requests:
            yield taken
