"""What follows a search: ensembles, the data doctor, neighbours, and the studies that run them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tuner.spec.base import Document, Steps
from tuner.spec.space import Choice
from tuner.text import Identifier

Kind = Literal["ensemble", "data_doctor", "neighbours"]
_Size = Annotated[int, Field(ge=2, le=100)]
Folds = Annotated[int, Field(ge=2, le=50)]
Networks = Annotated[int, Field(ge=1, le=50)]
Neighbours = Annotated[int, Field(ge=1, le=1000)]
Share = Annotated[float, Field(ge=0, le=1)]


class Ensemble(Document):
    """Averages the predictions of several networks. Give one of `top`, `seeds`, `snapshots`."""

    top: _Size | None = None
    """The best trials of so many different configurations."""
    seeds: _Size | None = None
    """The best configuration on so many fresh seeds."""
    snapshots: _Size | None = None
    """One training of it, with the rate in so many cosine cycles: a network from each one's end."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if [self.top, self.seeds, self.snapshots].count(None) != 2:
            raise ValueError("give one of top, seeds and snapshots")
        return self


class DataDoctor(Document):
    """Flags the training labels that networks which never saw them confidently contradict."""

    folds: Folds = 5
    """Parts of the training rows; each is judged by networks trained on the others."""
    networks: Networks = 3
    """Networks of the best configuration, each on a seed of its own, that judge a part."""


class NeighbourFallback(Document):
    """Lets the nearest training rows decide where the best network is unsure."""

    neighbours: Neighbours = 5
    """How many have a say."""
    below: Share = 0.5
    """The network is unsure where its largest probability is below this."""


class After(Document):
    """What is done once the search and its finalists are over, each as a study of one trial."""

    ensemble: Ensemble | None = None
    """An ensemble. None if absent."""
    data_doctor: DataDoctor | None = None
    """A look for wrong labels. None if absent."""
    neighbours: NeighbourFallback | None = None
    """Nearest neighbours as a fallback. None if absent."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self == type(self).model_construct():
            raise ValueError("give ensemble, data_doctor or neighbours")
        return self


class Again(Document):
    """Begins with another study's best configurations and says whether they still are: drift."""

    of: Annotated[str, Field(min_length=1, max_length=200)]
    """Name or id of that study."""
    top: Annotated[int, Field(ge=1, le=100)] = 3
    """How many of its best configurations are the first trials of this one."""
    study: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    """Its id. The service writes it."""
    trials: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=100)] = Field(
        default_factory=list
    )
    """Trials there that had them, best first. The service writes them."""
    then: float | None = None
    """What the best of them had there: its mean over fresh seeds, or its value. Likewise."""


class Level(Document):
    """A level of the rate, from a step on."""

    step: Annotated[int, Field(ge=0, lt=2**31)]
    """Finished steps after which it is in force."""
    lr_factor: Annotated[float, Field(gt=0, le=1e6)]
    """The starting rate is multiplied by this."""


class Member(Document):
    """A training that a trial did, or that differs from it by its seed alone."""

    trial: Annotated[int, Field(ge=0)]
    """The trial."""
    params: dict[Identifier, Choice]
    """Its parameters."""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """The seed."""
    until: Steps
    """Steps that are trained: up to the trial's value."""
    levels: list[Level] = Field(default_factory=list)
    """The levels of the rate, in order of their steps. 1 before the first."""


class AfterRun(Document):
    """What a study does that follows another one. The service writes it; see `after`."""

    of: Annotated[int, Field(ge=0)]
    """Id of the study it follows."""
    kind: Kind
    """What is done."""
    steps: Steps
    """The longest training of that study's trials, on which schedules of the rate depend."""
    members: Annotated[list[Member], Field(min_length=1, max_length=100)]
    """The trainings: all of an ensemble, else the best one."""
    folds: Folds = 5
    """Of the data doctor."""
    networks: Networks = 3
    """Of the data doctor."""
    neighbours: Neighbours = 5
    """Of the fallback."""
    below: Share = 0.5
    """Of the fallback."""
    snapshots: Annotated[int, Field(ge=1, le=100)] = 1
    """Of an ensemble: networks that are taken from its one training."""

    @property
    def length(self) -> int:
        """The number of steps it reports: networks of an ensemble, parts of the rows, or one."""
        if self.kind == "data_doctor":
            return self.folds
        return len(self.members) * self.snapshots

    @property
    def stretch(self) -> int:
        """The most steps that are trained between two reports."""
        if self.snapshots > 1:
            return self.steps // self.snapshots
        networks = self.networks if self.kind == "data_doctor" else 1
        return networks * max(member.until for member in self.members)
