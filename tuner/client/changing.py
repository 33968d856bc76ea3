"""What a person changes of a study on a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from tuner.client.by_hand import ByHand
from tuner.client.transport import Transport
from tuner.handle import ParamValue
from tuner.spec.read import validate
from tuner.wire import CloneStudy, Enqueue, Extend, StudyPage, StudyPatch, StudyView, TrialView

_STEM = 80
"""Letters of a study's name that the names of those that follow it begin with."""


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
        return self._extend(body, if_match)

    def finish(
        self,
        repeats: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        *,
        if_match: str | None = None,
    ) -> Self:
        """Run the best again on fresh seeds, and let an ensemble or the data doctor follow.

        A study that is over searches no further; one that runs does this when its search ends.

        Args:
            repeats: as in the study document, such as `{"finalists": 3, "seeds": 5}`.
            after: the same, such as `{"ensemble": {"top": 5}, "data_doctor": {}}`.
            if_match: see `change`.

        Raises:
            errors.InvalidInput: neither is given, or the study can't have it.
            errors.StudyState: it was cancelled or failed, or its hours are used up.
        """
        wish = {"repeats": repeats, "after": after}
        body = validate(Extend, {k: dict(v) for k, v in wish.items() if v is not None})
        return self._extend(body, if_match)

    def again(
        self,
        *,
        top: int = 3,
        seeds: int = 5,
        data: str | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> Self:
        """Submit a study that runs the best again, as on newer data, and return its handle.

        It runs the `top` best configurations and as many others (rules of thumb, then what the
        sampler proposes), and the best of those on fresh seeds. Its `view.drift` says whether the
        old best still is, and whether a new search pays.

        Args:
            top: configurations that run again.
            seeds: fresh seeds that the best of the new study get.
            data: another file for `run.data`, of the task `table`.
            changes: merged into the document, as by `clone`.

        Raises:
            errors.InvalidInput: no trial has trained to its end, or a change can't be.
        """
        run = {"run": {"data": data}} if data is not None else {}
        document = {
            "again": {"of": str(self.view.id), "top": top},
            "repeats": {"finalists": top, "seeds": seeds},
            "after": None,
            "pruner": {"name": "none"},
            "budget": {"trials": 2 * top},
        }
        body = validate(CloneStudy, {"changes": {**document, **run, **dict(changes or {})}})
        view = self._transport.post(StudyView, f"{self._path}/clone", body)
        return type(self)(self._transport, view)

    def followers(self) -> list[StudyView]:
        """Return the studies that follow this one: ensembles, the data doctor's, neighbours'.

        Those that run its best again are among them.
        """
        name = f"{self.view.name[:_STEM]}-"
        return [
            view
            for view in self._transport.pages(StudyPage, "/studies", name=name)
            if self.view.id in _followed(view)
        ]

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

    def _extend(self, body: Extend, if_match: str | None) -> Self:
        wish = body.model_dump(mode="json", exclude_none=True)
        path = f"{self._path}/extend"
        self.view = self._transport.post(StudyView, path, wish, if_match=if_match)
        return self

    def _change(self, patch: StudyPatch, if_match: str | None = None) -> Self:
        self.view = self._transport.patch(StudyView, self._path, patch, if_match=if_match)
        return self


def _followed(view: StudyView) -> tuple[object, ...]:
    """Return the ids of the studies that a study follows."""
    run = view.spec.get("run")
    after = run.get("after") if isinstance(run, Mapping) else None
    again = view.spec.get("again")
    return (after or {}).get("of"), (again or {}).get("study")
