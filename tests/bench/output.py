"""Many nodes whose commands write at once, followed by one reader.

usage: python -m tests.bench.output [NODES [BYTES]]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pushcli import keys
from pushcli.sandbox.sandbox import ORG, Sandbox
from tests.bench.machine import cpu_seconds, describe
from tests.support.memory import rss_mib
from tests.support.writers import Writer, Writers, register, written


def measure(count: int, size: int) -> None:
    """Print how long it takes until all is stored, and shown; and the server's cost."""
    names = [f"node{number:04d}" for number in range(count)]
    key = keys.generate()
    with tempfile.TemporaryDirectory() as directory:
        fleet = Sandbox(Path(directory), [], settings={"voting_timeout": 60})
        try:
            fleet.make_server()
            register(fleet.server_directory, ORG, names, keys.public_pem(key))
            fleet.start_server()
            url = fleet.url.partition("/organizations/")[0]
            crew = [Writer(name, ORG, size) for name in names]
            with Writers(crew, url=url, key=key) as writers:
                fleet.wait_available(names)
                before, cpu = rss_mib(fleet.pid("server")), cpu_seconds(fleet.pid("server"))
                start = time.monotonic()
                job_id = fleet.api.start_job(
                    {"command": "x", "nodes": names, "capture_output": True}
                )
                reader = subprocess.Popen(
                    fleet.command("job", "output", job_id, "--follow"), env=fleet.environment,
                    stdout=subprocess.PIPE,
                )  # fmt: skip
                out, _ = reader.communicate()
                shown = time.monotonic() - start
                assert writers.are_done
            peak = rss_mib(fleet.pid("server"))
            cpu = cpu_seconds(fleet.pid("server")) - cpu
            for part in fleet.api.job_nodes(job_id):
                assert part["stdout_size"] == size, part
            for name in names[:: max(1, count // 50)]:
                assert fleet.api.job_output(job_id, name, "stdout") == written(name, size)
            print(f"{count} nodes x {size:,} bytes on {describe()}")
            print(f"from the start of the job until all is stored and shown: {shown:.2f} s")
            print(f"server: {cpu:.2f} s of processor time, {before:.0f} -> {peak:.0f} MiB")
            print(f"shown: {len(out):,} bytes")
        finally:
            fleet.stop()


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    measure(*(given + [1000, 10_000][len(given) :]))
