"""What a person does by hand on a server: to one trial, and as notes and tags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tuner.client.transport import Transport
from tuner.spec.read import validate
from tuner.wire import TrialView
from tuner.wire.actions import ChangeRemark, CutRate, RemarkView, StopTrial


class ByHand:
    """The part of `StudyHandle` that acts on single trials, and notes what people think."""

    _transport: Transport

    @property
    def _path(self) -> str:
        raise NotImplementedError

    def stop_trial(self, number: int, why: str = "") -> TrialView:
        """End one trial as cancelled; what runs it is told by its next report.

        Raises:
            errors.NotFound: there is no such trial.
            errors.TrialEnded: it has ended otherwise.
        """
        body = validate(StopTrial, {"why": why})
        return self._transport.post(TrialView, f"{self._path}/trials/{number}/stop", body)

    def halve(self, number: int, factor: float = 0.5, *, why: str = "") -> TrialView:
        """Multiply a running trial's rate by a factor from its next report on.

        Args:
            number: the trial's.
            factor: in [0.01, 0.99].
            why: is kept with the event.

        Raises:
            errors.Conflict: the trial waits.
            errors.InvalidInput: the factor is out of bounds.
            errors.TrialEnded: it has ended.
        """
        body = validate(CutRate, {"factor": float(factor), "why": why})
        return self._transport.post(TrialView, f"{self._path}/trials/{number}/rate", body)

    def remark(self, trial: int | None = None) -> RemarkView:
        """Return the note and the tags of the study, or of one of its trials."""
        return self._transport.get(RemarkView, self._remark_path(trial))

    def note(
        self,
        text: str | None = None,
        *,
        tags: Iterable[str] | None = None,
        pinned: bool | None = None,
        trial: int | None = None,
        if_match: str | None = None,
    ) -> RemarkView:
        """Note on the study, or on one of its trials. What is None stays.

        Args:
            text: replaces the note; empty removes it.
            tags: replace the tags.
            pinned: whether the study stands first in lists; not for a trial.
            trial: the trial's number.
            if_match: the `version` that the remark must still have.

        Raises:
            errors.PreconditionFailed: a person changed it meanwhile.
        """
        change: dict[str, Any] = {"text": text, "pinned": pinned}
        change["tags"] = None if tags is None else list(tags)
        body = validate(ChangeRemark, change)
        return self._transport.patch(RemarkView, self._remark_path(trial), body, if_match=if_match)

    def _remark_path(self, trial: int | None) -> str:
        middle = "" if trial is None else f"/trials/{trial}"
        return f"{self._path}{middle}/remark"
