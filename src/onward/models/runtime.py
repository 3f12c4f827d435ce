"""The embedded model's own process: `python -m onward.models.runtime` serves one file of weights on the loopback.

It reads its settings as one line of JSON from standard input, because command lines are visible to others and these
hold a key. It writes one line with its address once the model is loaded. It ends when standard input ends, so it
never outlives the server that started it. A crash here is an upstream error there, nothing more.
"""

import importlib
import os
import sys
from typing import Any

import msgspec
from msgspec import Struct


class RuntimeSettings(Struct, frozen=True, kw_only=True):
    """`context` in tokens; `threads` for computing."""

    path: str
    name: str
    api_key: str
    context: int
    threads: int


class RuntimeReady(Struct, frozen=True):
    """What the process says once it serves. `address` is the server's root URL."""

    address: str


def main() -> None:
    """Serve until standard input ends."""
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=RuntimeSettings)
    os.environ["OMP_WAIT_POLICY"] = "passive"
    # The native library writes to descriptor 1; the answer to the parent must stay the only thing there.
    answers = os.dup(1)
    os.dup2(2, 1)
    server: Any = _serve(settings)
    with os.fdopen(answers, "wb") as out:
        out.write(msgspec.json.encode(RuntimeReady(str(server.listening_address))) + b"\n")
    sys.stdin.buffer.read()
    # The library's threads may be in the middle of a token: nothing here is worth waiting for.
    os._exit(0)


def _serve(settings: RuntimeSettings) -> Any:
    """Load the weights and return the running server; it serves for as long as it is referred to."""
    library: Any = importlib.import_module("xllamacpp")
    params = library.CommonParams()
    params.model.path = settings.path
    params.model_alias = {settings.name}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings.api_key]
    params.n_ctx = settings.context
    params.n_parallel = 1
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    params.endpoint_slots = False
    params.ui = False
    params.verbosity = 1
    return library.Server(params)


if __name__ == "__main__":
    main()
