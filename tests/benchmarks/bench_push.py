"""How soon tabs hear of the end of a job: one tab, then a hundred, on one server.

    python -m tests.benchmarks.bench_push [--tabs N] [--rounds N]

Prints for each round the median and the 99th percentile of the delay, in milliseconds, and how many times a hundred tabs wait longer
than one.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.jobs.test_live_server import delays
from tests.mirror import Mirror
from tests.server import Server

OPEN_TO_LOOPBACK = {"VITRINE_IMPORT_ALLOWED_HOSTS": "127.0.0.1", "VITRINE_IMPORT_ALLOWED_PORTS": ""}


def figures(late: list[float]) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds."""
    return 1000 * late[len(late) // 2], 1000 * late[min(len(late) - 1, int(len(late) * 0.99))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tabs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "data", env=OPEN_TO_LOOPBACK) as server, Mirror() as mirror:
        for number in range(1, chosen.rounds + 1):
            alone = asyncio.run(delays(server, mirror, 1))
            many = asyncio.run(delays(server, mirror, chosen.tabs))
            p50, p99 = figures(many)
            print(f"round {number}: {chosen.tabs} tabs p50 {p50:.0f} ms, p99 {p99:.0f} ms; {p99 / figures(alone)[1]:.1f} times one tab")


if __name__ == "__main__":
    main()
