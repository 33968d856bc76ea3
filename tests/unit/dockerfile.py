"""Read a Dockerfile into stages, as far as our tests ask about it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction: its upper-case word and the rest of its line, continuations joined."""

    word: str
    rest: str


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One `FROM ... AS name` with its instructions; `above` is the stage it continues."""

    name: str
    instructions: tuple[Instruction, ...]
    above: Stage | None

    def all(self, word: str) -> list[str]:
        """Return the instructions of one kind, those of the stages it continues first."""
        inherited = self.above.all(word) if self.above is not None else []
        return inherited + [one.rest for one in self.instructions if one.word == word]

    def arguments(self) -> set[str]:
        """Return the names of the build arguments the stage declares itself."""
        return {one.rest.partition("=")[0] for one in self.instructions if one.word == "ARG"}

    def command(self, word: str) -> list[str]:
        """Return the last `CMD` or `ENTRYPOINT`, written as a JSON list."""
        words: list[str] = json.loads(self.all(word)[-1])
        return words


def read_stages(path: Path) -> dict[str, Stage]:
    """Return the stages of a Dockerfile by name."""
    stages: dict[str, Stage] = {}
    for block in _blocks(_instructions(path.read_text())):
        origin, _, name = block[0].rest.partition(" AS ")
        stages[name] = Stage(name=name, instructions=tuple(block[1:]), above=stages.get(origin))
    return stages


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = (line.split(maxsplit=1) for line in joined.splitlines())
    return [Instruction(word=word.upper(), rest=rest) for word, rest in pairs]


def _blocks(instructions: list[Instruction]) -> list[list[Instruction]]:
    blocks: list[list[Instruction]] = []
    for one in instructions:
        if one.word == "FROM":
            blocks.append([])
        if blocks:
            blocks[-1].append(one)
    return blocks
