"""Collects the texts of several requests into batches, so that no request holds up the others.

Each waiting request gives one text in turn to the next batch, and at most a share of the batch, so
that a request of one text doesn't wait behind the 64 of another. What waits is limited in texts and
bytes; requests that would exceed the limits are refused at once, those of many texts first. A text
that can't be processed fails alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

Row = tuple[str, ...]
"""A text, or two for a pair."""
Answer = list[float]
SHARES = 4
"""While others wait, a request has at most one of this many parts of a batch."""


class OverloadedError(Exception):
    """More waits than the limits allow; the message says what."""


class BadTextError(Exception):
    """A text can't be processed, not even alone."""

    def __init__(self, number: int, cause: Exception) -> None:
        """Name the text by its number in the request."""
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.number = number


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How large batches are, and how much may wait."""

    batch: int
    """Maximum number of texts in a batch."""
    wait_s: float
    """Maximum time for which a batch waits for more texts."""
    texts: int
    """Maximum number of texts that wait or are computed."""
    size: int
    """Maximum number of their characters."""

    @property
    def share(self) -> int:
        """Maximum number of texts of one request in a batch, while others wait."""
        return max(self.batch // SHARES, 1)


@dataclass(frozen=True, eq=False)
class _Text:
    row: Row
    answer: asyncio.Future[Answer]


@dataclass(frozen=True, eq=False)
class _Request:
    texts: Sequence[_Text]
    waiting: deque[_Text] = field(default_factory=deque)

    @classmethod
    def of(cls, rows: Sequence[Row]) -> _Request:
        loop = asyncio.get_running_loop()
        texts = [_Text(row, loop.create_future()) for row in rows]
        return cls(texts, deque(texts))


class FairBatches:
    """Computes the texts of all requests of one event loop in batches, one batch at a time."""

    def __init__(
        self, compute: Callable[[Sequence[Row]], Sequence[Answer]], limits: Limits
    ) -> None:
        """Set the function that answers a batch, called in a thread, and the limits."""
        self._compute, self._limits = compute, limits
        self._waiting: list[_Request] = []
        self._latest: set[_Request] = set()
        """Requests with texts in the latest batch."""
        self._texts = self._size = 0
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def answer(self, rows: Sequence[Row]) -> list[Answer]:
        """Return the answer to each text of a request.

        Raises:
            OverloadedError: too much waits already.
            BadTextError: one of the texts can't be processed.
        """
        size = sum(len(text) for row in rows for text in row)
        self._admit(len(rows), size)
        request = _Request.of(rows)
        self._waiting.append(request)
        self._arrived.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        try:
            return [await self._answer(n, text) for n, text in enumerate(request.texts)]
        finally:  # also if the client has gone
            self._texts, self._size = self._texts - len(rows), self._size - size
            request.waiting.clear()
            for text in request.texts:
                if not text.answer.cancel() and not text.answer.cancelled():
                    text.answer.exception()  # or asyncio would log it, if another one was raised

    def _admit(self, texts: int, size: int) -> None:
        """Count a request; one of more than a share of a batch may fill only half of the limits."""
        is_large = texts > self._limits.share or 2 * SHARES * size > self._limits.size
        parts = 2 if is_large else 1
        is_full = (
            self._texts + texts > self._limits.texts // parts
            or self._size + size > self._limits.size // parts
        )
        if self._texts and is_full:
            raise OverloadedError(
                f"{texts} more texts while {self._texts} texts of {self._size:,} characters wait"
            )
        self._texts, self._size = self._texts + texts, self._size + size

    @staticmethod
    async def _answer(number: int, text: _Text) -> Answer:
        try:
            return await text.answer
        except Exception as error:
            raise BadTextError(number, error) from error

    async def _work(self) -> None:
        while self._waiting:
            await self._await_more()
            if batch := self._next_batch():
                await self._answer_batch(batch)
        self._worker = None

    async def _await_more(self) -> None:
        """Wait until a batch is full, but no longer than `wait_s`."""
        try:
            async with asyncio.timeout(self._limits.wait_s):
                while sum(len(part) for part in self._parts()) < self._limits.batch:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass

    def _parts(self) -> Iterator[list[_Text]]:
        """Yield the texts that each waiting request may give to the next batch."""
        self._waiting = [request for request in self._waiting if request.waiting]
        is_alone = len(self._waiting) == 1 and self._latest <= {*self._waiting}
        most = self._limits.batch if is_alone else self._limits.share
        for request in self._waiting:
            yield [text for text, _ in zip(request.waiting, range(most), strict=False)]

    def _next_batch(self) -> list[_Text]:
        turns = zip_longest(*self._parts())
        in_turn = [text for turn in turns for text in turn if text is not None]
        batch = in_turn[: self._limits.batch]
        chosen, self._latest = set(batch), set()
        for request in self._waiting:
            while request.waiting and request.waiting[0] in chosen:
                request.waiting.popleft()
                self._latest.add(request)
        return batch

    async def _answer_batch(self, batch: Sequence[_Text]) -> None:
        try:
            answers = await asyncio.to_thread(self._compute, [text.row for text in batch])
        except Exception as error:  # noqa: BLE001 - told to the request whose text it is
            if len(batch) == 1:
                _settle(batch[0], error)
                return
            for text in batch:
                await self._answer_batch([text])
            return
        for text, answer in zip(batch, answers, strict=True):
            _settle(text, answer)


def _settle(text: _Text, outcome: Answer | Exception) -> None:
    if text.answer.done():  # its client has gone
        return
    if isinstance(outcome, Exception):
        text.answer.set_exception(outcome)
    else:
        text.answer.set_result(outcome)
