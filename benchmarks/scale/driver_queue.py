"""How long workers wait for the driver: a closed queue, solved by mean value analysis."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Workers that work, then need the driver, which serves one at a time."""

    driver_seconds: float
    """Seconds of the driver's time for one trial, over all of its messages."""
    other_seconds: float
    """Seconds that a trial waits for anything but the driver, such as messages in transit."""

    def utilisation(self, workers: int, trial_seconds: float) -> float:
        """Return the share of their time that workers work; from 0 to 1.

        Mean value analysis of one queue (Reiser and Lavenberg, 1980): who comes finds there, on
        average, what is there when one worker less is about. It takes the times between messages
        to be random, which makes the queue longer than evenly spaced ones do.
        """
        queued, response = 0.0, 0.0
        for number in range(1, workers + 1):
            response = self.driver_seconds * (1 + queued)
            rate = number / (trial_seconds + self.other_seconds + response)
            queued = rate * response
        return trial_seconds / (trial_seconds + self.other_seconds + response)

    def driver_share(self, workers: int, trial_seconds: float) -> float:
        """Return the share of its time that the driver is busy; from 0 to 1."""
        used = self.utilisation(workers, trial_seconds)
        return workers * used * self.driver_seconds / trial_seconds
