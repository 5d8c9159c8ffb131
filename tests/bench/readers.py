"""Many readers of one job's feed, in one process; prints when all are connected and done."""

import asyncio
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from pushcli import keys
from pushcli.protocol import signing
from pushcli.protocol.timestamps import format_iso8601


async def read_all(url: str, user: str, key_file: str, count: int) -> None:
    """Connect `count` readers, wait for all streams to end, and count what came."""
    parts = urlsplit(url)
    headers = signing.sign(
        keys.load_private_key(Path(key_file)),
        method="GET", path=parts.path, body=b"", user=user,
        timestamp=format_iso8601(time.time()),
    )  # fmt: skip
    lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Accept: text/event-stream"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    connected = asyncio.Event()
    left = count

    async def one() -> int:
        nonlocal left
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(request)
        await reader.readuntil(b"\r\n\r\n")
        left -= 1
        if not left:
            connected.set()
        size = 0
        while chunk := await reader.read(65_536):
            size += len(chunk)
            if chunk.endswith(b"0\r\n\r\n"):
                break
        writer.close()
        return size

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    await connected.wait()
    print("connected", flush=True)
    sizes = await asyncio.gather(*tasks)
    print(f"{min(sizes)} {max(sizes)}", flush=True)


if __name__ == "__main__":
    asyncio.run(read_all(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
