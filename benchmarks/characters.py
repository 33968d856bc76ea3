"""What `text-lstm` should be compared with: its loss beside n-grams of the same characters.

Prints a table of nats and bits a character on the validation windows. An n-gram model counts the
training part's characters after up to n - 1 others, and mixes the orders as Witten and Bell (1991)
do: the longer context weighs the more, the oftener it was seen and the fewer different characters
followed it. Within a window it sees what the LSTM sees: the characters before, none at its start.
Run with `python benchmarks/characters.py [SEEDS]`.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from tuner.train import characters, run
from tuner.train.local import LocalTrial

ORDERS = (1, 2, 3, 4, 6)
SEEDS = 5

Chance = Callable[[str, str], float]
"""Maps a context and a character to the character's probability after it."""


def n_gram(text: str, order: int, alphabet: str) -> Chance:
    """Return the Witten-Bell mixture of all orders up to `order`, above the uniform one."""
    after: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for place, character in enumerate(text):
        for length in range(min(order, place + 1)):
            after[text[place - length : place]][character] += 1

    def chance(context: str, character: str) -> float:
        found = 1 / len(alphabet)
        for length in range(min(order, len(context) + 1)):
            seen = after.get(context[len(context) - length :])
            if seen is None:
                break
            found = (seen[character] + len(seen) * found) / (seen.total() + len(seen))
        return found

    return chance


def loss(chance: Chance, windows: Sequence[str]) -> float:
    """Return the mean loss over all but each window's first character, in nats a character."""
    lost = [
        -math.log(chance(window[:place], window[place]))
        for window in windows
        for place in range(1, len(window))
    ]
    return statistics.fmean(lost)


def parts() -> tuple[str, list[str]]:
    """Return the training part's text and the validation part's windows, the task's own."""
    text, alphabet, rows = characters.text(), characters.alphabet(), characters.characters().val
    windows = [
        "".join(alphabet[place] for place in (int(x[0].argmax()), *y.tolist()))
        for x, y in zip(rows.x, rows.y, strict=True)
    ]
    return text[: int(0.8 * len(text))], windows


def learned(seed: int) -> float:
    """Return the lowest validation loss of a training at the task's rules of thumb."""
    trial = LocalTrial(params={}, seed=seed)
    run(trial, "text-lstm", {"device": "cpu"})
    return min(report.value for report in trial.reports)


def main() -> None:
    """Print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    alphabet = characters.alphabet()
    train, windows = parts()
    found = {"all characters alike": math.log(len(alphabet))}
    for order in ORDERS:
        name = "frequencies" if order == 1 else f"after {order - 1}" + " before" * (order == 2)
        found[name] = loss(n_gram(train, order, alphabet), windows)
    values = [learned(seed) for seed in range(seeds)]
    spread = f" ± {statistics.stdev(values):.2f}" if seeds > 1 else ""
    print("| model | nats | bits |\n|---|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value:.2f} | {value / math.log(2):.2f} |")
    mean = statistics.fmean(values)
    print(f"| the LSTM, {seeds} seeds | {mean:.2f}{spread} | {mean / math.log(2):.2f} |")


if __name__ == "__main__":
    main()
