"""What a person changes of a study on a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from tuner.client.by_hand import ByHand
from tuner.client.transport import Transport
from tuner.handle import ParamValue
from tuner.spec.read import validate
from tuner.wire import Enqueue, Extend, StudyPatch, StudyView, TrialView


class Changes(ByHand):
    """The changes of a study; `StudyHandle` has them all.

    Each reads the study anew: `view` is how it stands afterwards.
    """

    def __init__(self, transport: Transport, view: StudyView) -> None:
        self._transport = transport
        self.view = view

    def pause(self) -> Self:
        """Start no further trial; what runs goes on."""
        return self._change(StudyPatch(state="paused"))

    def resume(self) -> Self:
        """Go on after a pause."""
        return self._change(StudyPatch(state="running"))

    def stop(self) -> Self:
        """Start no further trial and finish with the last running one."""
        return self._change(StudyPatch(state="stopped"))

    def cancel(self) -> Self:
        """End the study and its running trials now."""
        return self._change(StudyPatch(state="cancelled"))

    def change(
        self,
        *,
        priority: int | None = None,
        parallel: int | None = None,
        space: Mapping[str, Any] | None = None,
        if_match: str | None = None,
    ) -> Self:
        """Change the priority, how many trials may run at once, or the space.

        Args:
            priority: higher ones go first.
            parallel: trials at once.
            space: parameters with other ranges or choices, each whole, as in the study document.
            if_match: the `version` that the study must still have.

        Raises:
            errors.InvalidInput: a value is out of range, or the space can't be changed so.
            errors.PreconditionFailed: a person changed the study meanwhile.
        """
        other = None if space is None else dict(space)
        change = {"priority": priority, "parallel": parallel, "space": other}
        return self._change(validate(StudyPatch, change), if_match)

    def update(self, *, priority: int | None = None, parallel: int | None = None) -> Self:
        """Change the priority or how many trials may run at once; see `change`."""
        return self.change(priority=priority, parallel=parallel)

    def extend(self, trials: int = 0, hours: float = 0.0, *, if_match: str | None = None) -> Self:
        """Add to the budget; a finished study goes on. See `change` for `if_match`."""
        body = validate(Extend, {"trials": trials, "hours": float(hours)})
        path = f"{self._path}/extend"
        self.view = self._transport.post(StudyView, path, body, if_match=if_match)
        return self

    def enqueue(
        self,
        params: Mapping[str, ParamValue] | None = None,
        *,
        like: int | None = None,
        from_checkpoint: bool | tuple[int, int] = False,
        source: Mapping[str, object] | None = None,
    ) -> TrialView:
        """Run these parameters next; absent ones take their middle, or those of trial `like`.

        Args:
            params: parameters by name.
            like: a trial of this study.
            from_checkpoint: whether to go on from trial `like`'s newest checkpoint; or a trial and
                the step of a checkpoint that it keeps.
            source: `{"study": ..., "trial": ...}`, to start from the checkpoint of a trial of any
                study; with `step`, from the one of that step; `steps` is `on` or `anew`.

        Raises:
            errors.Conflict: the trial keeps no such checkpoint.
            errors.InvalidInput: these are no parameters.
        """
        step = None
        if isinstance(from_checkpoint, tuple):
            like, step = from_checkpoint
        wish = {
            "params": dict(params or {}), "like": like, "from_checkpoint": bool(from_checkpoint),
            "step": step, "source": None if source is None else dict(source),
        }  # fmt: skip
        body = validate(Enqueue, wish)
        return self._transport.post(TrialView, f"{self._path}/trials", body)

    def delete(self, *, if_match: str | None = None) -> StudyView:
        """Delete the study for good, which must be over; return how it was.

        Raises:
            errors.PreconditionFailed: it no longer has the version `if_match`.
            errors.StudyState: it is not over.
        """
        return self._transport.delete(StudyView, self._path, if_match=if_match)

    @property
    def _path(self) -> str:
        return f"/studies/{self.view.id}"

    def _change(self, patch: StudyPatch, if_match: str | None = None) -> Self:
        self.view = self._transport.patch(StudyView, self._path, patch, if_match=if_match)
        return self
