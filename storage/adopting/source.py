"""A study as Optuna opens it: any URL or journal file that Optuna knows, read and never written."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalRedisBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from storage.engine import database_url
from tuner.errors import InvalidInput, NotFound, TunerError, Unavailable

_SQLITE = b"SQLite format 3\0"
_CONNECT_S = 10
_NAMES_SHOWN = 20
_METRICS = "study:metric_names"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A study with one objective, and where it was found (without a password)."""

    place: str
    name: str
    mode: Literal["min", "max"]
    metric: str | None
    user_attrs: Mapping[str, Any]
    trials: Sequence[FrozenTrial]


def read(url: str, name: str) -> Source:
    """Read a study.

    Args:
        url: what `optuna.load_study` takes for its storage, or the path of an SQLite or journal
            file.
        name: the study's name.

    Raises:
        InvalidInput: the URL is none, the place holds no Optuna database, or the study has several
            objectives.
        NotFound: there is no such file or study; the message lists those there are.
        Unavailable: the database does not answer.
    """
    place = shown(url)
    with _translated(place), _opened(url) as storage:
        studies = {s.study_name: s._study_id for s in storage.get_all_studies()}
        if name not in studies:
            raise NotFound(f"there is no study {name!r} in {place}{_listed(sorted(studies))}")
        return _read(storage, studies[name], name, place)


def _read(storage: BaseStorage, study_id: int, name: str, place: str) -> Source:
    directions = storage.get_study_directions(study_id)
    if len(directions) != 1:
        raise InvalidInput(
            f"study {name!r} has {len(directions)} objectives; tuner's studies have one"
        )
    metrics = storage.get_study_system_attrs(study_id).get(_METRICS)
    trials = storage.get_all_trials(study_id, deepcopy=False)
    return Source(
        place=place,
        name=name,
        mode="max" if directions[0] is StudyDirection.MAXIMIZE else "min",
        metric=str(metrics[0]) if metrics else None,
        user_attrs=dict(storage.get_study_user_attrs(study_id)),
        trials=sorted(trials, key=lambda t: t.number),
    )


def _listed(names: Sequence[str]) -> str:
    if not names:
        return ", which holds no study"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"; there are {', '.join(map(repr, names[:_NAMES_SHOWN]))}{more}"


def shown(url: str) -> str:
    """Return a URL as people may see it: without its password. Raises InvalidInput."""
    parsed = _parsed(url)
    return url if parsed is None else parsed.render_as_string(hide_password=True)


def _parsed(url: str) -> URL | None:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        if "://" in url:
            raise InvalidInput("the database URL can't be read") from None
        return None


@contextlib.contextmanager
def _opened(url: str) -> Iterator[BaseStorage]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage: BaseStorage | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storage = _open(url)
            yield storage
    finally:
        if isinstance(storage, RDBStorage):
            storage.remove_session()
            storage.engine.dispose()
        optuna.logging.set_verbosity(before)


def _open(url: str) -> BaseStorage:
    if url.startswith("redis"):
        return JournalStorage(JournalRedisBackend(url))
    parsed = _parsed(url)
    if parsed is None:
        file = Path(url)
        if not file.is_file():
            raise NotFound(f"{url} is neither a database's URL nor a file")
        with file.open("rb") as head:
            if head.read(len(_SQLITE)) != _SQLITE:
                return JournalStorage(JournalFileBackend(url))
        parsed = make_url(f"sqlite:///{file.absolute()}")
    backend = parsed.get_backend_name()
    if backend == "sqlite" and not Path(str(parsed.database)).is_file():
        raise NotFound(f"there is no file {parsed.database}")
    connect = {"connect_args": {"connect_timeout": _CONNECT_S}} if backend != "sqlite" else {}
    if backend in ("sqlite", "postgresql"):
        parsed = database_url(parsed.render_as_string(hide_password=False))
    text = parsed.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    return RDBStorage(text, engine_kwargs=connect, skip_table_creation=True)


@contextlib.contextmanager
def _translated(place: str) -> Iterator[None]:
    try:
        yield
    except TunerError:
        raise
    except ImportError as exc:
        raise InvalidInput(f"{place} can't be opened: {_line(exc)}") from exc
    except (ArgumentError, NoSuchModuleError) as exc:
        raise InvalidInput(f"{place} is no URL that Optuna opens") from exc
    except (OperationalError, ProgrammingError) as exc:
        raise _refused(place, exc) from exc
    except StorageInternalError as exc:
        cause = exc.__cause__
        if isinstance(cause, OperationalError | ProgrammingError):
            raise _refused(place, cause) from exc
        raise Unavailable(f"{place} can't be read: {_line(cause or exc)}") from exc
    except SQLAlchemyError as exc:
        raise Unavailable(f"{place} can't be read: {_line(exc)}") from exc
    except RuntimeError as exc:
        raise InvalidInput(f"Optuna can't read {place}: {_line(exc)}") from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InvalidInput(f"{place} holds nothing that Optuna can read") from exc


def _refused(place: str, exc: OperationalError | ProgrammingError) -> TunerError:
    text = str(exc.orig)
    if "no such table" in text or ("does not exist" in text and "relation" in text):
        return InvalidInput(f"{place} is not an Optuna database: its tables are missing")
    return Unavailable(f"{place} does not answer: {_line(exc.orig)}")


def _line(exc: BaseException | None) -> str:
    lines = str(exc).strip().splitlines()
    return lines[0][:300] if lines else type(exc).__name__
