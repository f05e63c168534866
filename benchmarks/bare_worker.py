"""A client of the floor: takes the model, sends a float32 vector that is ready, round after round.

    python -m benchmarks.bare_worker PORT WORKER_ID DIM ROUNDS

Prints the CPU seconds that it had used in each round, as JSON.
"""

import http.client
import json
import socket
import sys
import time

from benchmarks.ready import ready_vector


def main() -> None:
    """Take part in all rounds."""
    port, worker_id, dim, n_rounds = map(int, sys.argv[1:5])
    update = memoryview(ready_vector(dim, worker_id)).cast("B")
    model = bytearray(len(update))
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    cpu_marks = []
    for n_done in range(n_rounds):
        connection.request("GET", "/model?after=%d" % n_done)
        response, view = connection.getresponse(), memoryview(model)
        while view:
            view = view[response.readinto(view):]
        response.read()
        cpu_marks.append(time.process_time())
        connection.request("POST", "/update?worker=%d" % worker_id, update)
        connection.getresponse().read()
    connection.request("POST", "/end", b"")
    connection.getresponse().read()
    print(json.dumps(cpu_marks), flush=True)


if __name__ == "__main__":
    main()
