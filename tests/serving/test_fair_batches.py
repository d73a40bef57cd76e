"""Batches of several requests: whose texts they take, what is refused, and what fails alone."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from raycompare.serving.fair_batches import (
    Answer,
    BadTextError,
    FairBatches,
    Limits,
    OverloadedError,
    Row,
)

PLENTY = Limits(batch=8, wait_s=0.02, texts=10_000, size=100_000)
POISON = "poison"


class Model:
    """Answers each text with its length, batch by batch, once it is let through."""

    def __init__(self, held: bool = False) -> None:
        self.batches: list[list[str]] = []
        self.go = threading.Semaphore(0 if held else 1_000_000)

    def __call__(self, rows: Sequence[Row]) -> Sequence[Answer]:
        self.batches.append([text for (text,) in rows])
        self.go.acquire(timeout=30)
        if any(POISON in text for (text,) in rows):
            raise ValueError("can't be tokenised")
        return [[float(len(text))] for (text,) in rows]


def rows(*texts: str) -> list[Row]:
    return [(text,) for text in texts]


async def outcomes(*requests: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*requests, return_exceptions=True)


def test_each_text_of_each_request_gets_its_answer() -> None:
    async def go() -> list[Any]:
        batches = FairBatches(Model(), PLENTY)
        asked = (batches.answer(rows(*("x" * n for n in range(1, k)))) for k in range(2, 40))
        return await outcomes(*asked)

    answers = asyncio.run(go())
    assert answers == [[[float(n)] for n in range(1, k)] for k in range(2, 40)]


@pytest.mark.parametrize("poisoned", [1, 3])
def test_a_text_that_cannot_be_processed_fails_alone(poisoned: int) -> None:
    async def go() -> list[Any]:
        batches = FairBatches(Model(), PLENTY)
        good = [batches.answer(rows("a", "bb")) for _ in range(5)]
        bad = [batches.answer(rows("a", POISON, POISON)) for _ in range(poisoned)]
        return await outcomes(*good, *bad)

    answers = asyncio.run(go())
    gc.collect()  # an exception that nobody has read would be logged
    assert answers[:5] == [[[1.0], [2.0]]] * 5
    for error in answers[5:]:
        assert isinstance(error, BadTextError)
        assert error.number == 1
        assert "can't be tokenised" in str(error)


def test_requests_of_few_texts_do_not_wait_behind_one_of_many() -> None:
    async def go() -> Model:
        model = Model(held=True)
        batches = FairBatches(model, PLENTY)
        many = asyncio.create_task(batches.answer(rows(*["many"] * 64)))
        await until(lambda: len(model.batches) == 1)
        few = [asyncio.create_task(batches.answer(rows(f"few{n}"))) for n in range(3)]
        await asyncio.sleep(0)
        model.go.release()
        await until(lambda: len(model.batches) == 2)
        model.go.release(100)
        await asyncio.gather(many, *few)
        return model

    first, second, *rest = asyncio.run(go()).batches
    assert first == ["many"] * PLENTY.batch, "it is alone"
    assert second == ["many", "few0", "few1", "few2", "many"], "one each, and a share at most"
    assert rest[0] == ["many"] * PLENTY.share, "others may come again"
    assert rest[1] == ["many"] * PLENTY.batch
    assert sum(map(len, [first, second, *rest])) == 64 + 3


def test_more_than_fits_is_refused_large_requests_first_and_room_is_given_back() -> None:
    limits = Limits(batch=8, wait_s=0, texts=16, size=1000)

    async def go() -> list[str]:
        model = Model(held=True)
        batches = FairBatches(model, limits)
        texts = (["a"], ["b"] * 8, ["c"] * 2, ["d" * 130], ["e"] * 2, ["f"] * 3, ["g"] * 2)
        pending = outcomes(*(batches.answer(rows(*each)) for each in texts))
        waiting = asyncio.create_task(pending)
        await until(lambda: model.batches != [])
        model.go.release(100)
        first = await waiting
        later = await outcomes(batches.answer(rows(*["h"] * 64)))
        return [type(answer).__name__ for answer in [*first, *later]]

    small, large, *more, huge = asyncio.run(go())
    assert small == "list"
    assert large == "OverloadedError", "8 texts would fill more than half"
    assert more == ["list", "list", "list", "OverloadedError", "list"]
    assert huge == "list", "an idle server takes any request"


def test_characters_count_too() -> None:
    async def go() -> list[Any]:
        batches = FairBatches(Model(), Limits(batch=8, wait_s=0.01, texts=100, size=100))
        return await outcomes(*(batches.answer(rows("x" * 12)) for _ in range(20)))

    answers = asyncio.run(go())
    refused = [answer for answer in answers if isinstance(answer, OverloadedError)]
    assert len(refused) == 12
    assert "characters" in str(refused[0])


def test_what_a_client_no_longer_waits_for_is_not_computed() -> None:
    async def go() -> Model:
        model = Model(held=True)
        batches = FairBatches(model, Limits(batch=1, wait_s=0, texts=4, size=1000))
        first = asyncio.create_task(batches.answer(rows("first")))
        await until(lambda: model.batches == [["first"]])
        gone = asyncio.create_task(batches.answer(rows("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        await outcomes(gone)
        kept = [asyncio.create_task(batches.answer(rows(f"kept{n}"))) for n in range(3)]
        model.go.release(100)
        await asyncio.gather(first, *kept)
        return model

    assert asyncio.run(go()).batches == [["first"], ["kept0"], ["kept1"], ["kept2"]]


async def until(is_true: Any) -> None:
    while not is_true():
        await asyncio.sleep(0.001)
