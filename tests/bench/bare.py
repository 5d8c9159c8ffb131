"""The floor: a ROUTER loop with CURVE, HMAC and JSON, and nothing else.

It asks every simulated agent to commit, then to run, and takes the results: what any
server in Python has to do for a job, without a state machine, a store, or REST.
"""

import sys
import threading
import time

import msgspec
import zmq
from zmq.utils import z85

from pushcli.protocol import messages, wire
from pushcli.protocol.timestamps import format_rfc1123


def main(count: int, session_key: bytes) -> None:
    """Print the address, wait for `count` agents, then time rounds for each line of input."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.max_sockets = 1024
    threading.Thread(target=admit_all, args=(context,), daemon=True).start()
    public, secret = zmq.curve_keypair()
    router = context.socket(zmq.ROUTER)
    router.curve_server, router.curve_secretkey, router.zap_domain = True, secret, b"bare"
    router.backlog = 4096
    port = router.bind_to_random_port("tcp://127.0.0.1")
    print(msgspec.json.encode({"port": port, "key": public.decode()}).decode(), flush=True)
    peers: set[bytes] = set()
    start = time.monotonic()
    while len(peers) < count:
        peers.add(take(router, session_key)[0])
    print(f"{time.monotonic() - start:.3f}", flush=True)
    for _ in sys.stdin:
        print(f"{one_round(router, peers, session_key):.3f}", flush=True)


def admit_all(context: "zmq.Context[zmq.Socket[bytes]]") -> None:
    """ZAP: everybody."""
    zap = context.socket(zmq.REP)
    zap.bind("inproc://zeromq.zap.01")
    while True:
        request = zap.recv_multipart()
        zap.send_multipart([b"1.0", request[1], b"200", b"OK", z85.encode(request[6]), b""])


def take(router: "zmq.Socket[bytes]", key: bytes) -> tuple[bytes, messages.NodeMessage]:
    """One verified message."""
    peer, *frames = router.recv_multipart()
    return peer, messages.decode_node_message(wire.unseal(frames, key, wire.MAX_BODY_FROM_AGENT))


def one_round(router: "zmq.Socket[bytes]", peers: set[bytes], key: bytes) -> float:
    """Commit, votes, run, results; seconds."""
    start = time.monotonic()
    job = {"job_id": "1" * 32}
    send(router, peers, key, messages.Commit, command="true", capture=True, **job)
    gather(router, peers, key, messages.AckCommit)
    send(router, peers, key, messages.Run, **job)
    gather(router, peers, key, messages.Succeeded)
    return time.monotonic() - start


def send(
    router: "zmq.Socket[bytes]", peers: set[bytes], key: bytes, kind: type, **fields: object
) -> None:
    """The same message to all."""
    for peer in peers:
        message = kind(sequence=1, timestamp=format_rfc1123(time.time()), **fields)
        router.send_multipart([peer, *wire.seal(messages.encode(message), key)])


def gather(router: "zmq.Socket[bytes]", peers: set[bytes], key: bytes, kind: type) -> None:
    """Wait for this message of all."""
    left = set(peers)
    while left:
        peer, message = take(router, key)
        if isinstance(message, kind):
            left.discard(peer)


if __name__ == "__main__":
    main(int(sys.argv[1]), bytes.fromhex(sys.argv[2]))
