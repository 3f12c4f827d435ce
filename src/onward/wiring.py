"""The composition root: the one place that knows every adapter and puts them behind the ports.

Adapters are imported where they are first needed, so that a server starts quickly and holds only what it uses.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from msgspec import Struct

from onward.core.errors import SetupError
from onward.core.ids import new_suffix
from onward.settings import Settings, load

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from onward.api.auth import ApiKeyAuthenticator
    from onward.engine.engine import Engine
    from onward.models.catalog import Catalog
    from onward.models.settings import ModelSettings
    from onward.ports.attachments import Attachments
    from onward.ports.blobs import Blobs
    from onward.ports.completions import Completions
    from onward.ports.conversations import Conversations
    from onward.ports.egress import Egress
    from onward.ports.embed import Embedder
    from onward.ports.files import Files
    from onward.ports.hosted import Toolset
    from onward.ports.idempotency import Idempotency
    from onward.ports.library import Library
    from onward.ports.model import Models
    from onward.ports.parse import Parser
    from onward.ports.passages import PassageIndex
    from onward.ports.prompts import Prompts
    from onward.ports.runs import Runs
    from onward.ports.vector_stores import StoreSearch, VectorStores
    from onward.store.sqlite.store import SqliteStore
    from onward.store.sqlite.work import SqliteWork
    from onward.tools.web_search import WebSearch

log = logging.getLogger("onward")

RECOVERY_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 1.0
COLLECTOR_THRESHOLDS: Final = (20_000, 20, 20)
"""New objects before a young collection: a stream makes thousands of short-lived ones a second, in few cycles."""


class ProjectParts(Struct, frozen=True, kw_only=True):
    """One project's state and tools, each behind its port."""

    key: int
    runs: Runs
    conversations: Conversations
    completions: Completions
    idempotency: Idempotency
    prompts: Prompts
    files: Files
    vector_stores: VectorStores
    search: StoreSearch
    toolset: Toolset
    attachments: Attachments


class Outside(Struct, frozen=True, kw_only=True):
    """What reaches beyond this server."""

    egress: Egress
    web: WebSearch | None = None


class Composition(Struct, frozen=True, kw_only=True):
    """What the handlers are given."""

    models: Models
    projects: ApiKeyAuthenticator
    engine: Engine
    embedder: Embedder
    disconnect_grace: float | None


def data_dir(settings: Settings) -> Path:
    """Return the data directory, made if it is missing. What this process makes from now on is its user's alone."""
    os.umask(os.umask(0o077) | 0o077)
    data = Path(settings.data).expanduser()
    data.mkdir(parents=True, exist_ok=True)
    return data


@asynccontextmanager
async def open_data(settings: Settings) -> AsyncGenerator[SqliteStore]:
    """Open the data directory of `settings` for the length of a block."""
    from onward.store.sqlite.store import open_store

    async with open_store(data_dir(settings), node=new_suffix(), durability=settings.durability) as store:
        yield store


async def has_keys(settings: Settings) -> bool:
    """Tell whether a valid API key is stored."""
    async with open_data(settings) as store:
        return await store.keys.any()


class Projects:
    """Makes each project's parts once."""

    def __init__(self, make: Callable[[int], ProjectParts]) -> None:
        self._make = make
        self._parts: dict[int, ProjectParts] = {}

    def get(self, key: int) -> ProjectParts:
        """Return the parts of a project."""
        parts = self._parts.get(key)
        if parts is None:
            parts = self._parts[key] = self._make(key)
        return parts


@asynccontextmanager
async def compose(settings: Settings, environ: Mapping[str, str]) -> AsyncGenerator[tuple[Composition, str]]:
    """Open everything a server process needs; yields the composition and the sentence about its model.

    Background work (recovery, ingestion, heartbeats, sweeps) runs until the block ends.
    """
    from onward.api.auth import ApiKeyAuthenticator
    from onward.api.responses.revive import revive
    from onward.engine.engine import Engine

    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_data(settings))
        await store.recovery.settle_expired()
        catalog = await _open_models(settings, environ, stack)
        embedder = await _open_embedder(settings, environ, stack)
        make, ingest = await _open_retrieval(settings, store, embedder, _open_outside(settings, stack), stack)
        projects = Projects(make)
        engine = Engine(models=catalog, node=store.node, background_slots=settings.background_slots)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        background = [
            tasks.create_task(_keep_running("looking at the upstream", catalog.prepare)),
            tasks.create_task(_keep_running("renewing leases", lambda: engine.heartbeat(store.recovery))),
            tasks.create_task(_keep_running("housekeeping", lambda: _keep_house(store, engine, projects))),
            tasks.create_task(_keep_running("ingestion", ingest)),
        ]
        stack.callback(_cancel_all, background)
        stack.push_async_callback(engine.aclose)
        await engine.adopt(store.recovery, projects.get, revive)
        yield (
            Composition(
                models=catalog,
                projects=ApiKeyAuthenticator(
                    store.keys,
                    preset=settings.api_key,
                    default_project=store.default_project,
                    project=projects.get,
                ),
                engine=engine,
                embedder=embedder,
                disconnect_grace=settings.disconnect_grace,
            ),
            catalog.choice.sentence,
        )


def _cancel_all(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


async def _keep_running(name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run background work until it ends or is cancelled; a fault is logged and the work begins again."""
    while True:
        try:
            await work()
        except Exception:  # a passing fault, such as a full disk, must not end the server
            log.exception("%s failed", name)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


async def _keep_house(store: SqliteStore, engine: Engine, projects: Projects) -> None:
    """Go on with what dead processes left, or end it; remove what nothing reaches any more."""
    from onward.api.responses.revive import revive

    since_sweep = 0.0
    while True:
        await asyncio.sleep(RECOVERY_SECONDS)
        since_sweep += RECOVERY_SECONDS
        try:
            await store.recovery.settle_expired()
            await engine.adopt(store.recovery, projects.get, revive)
            if since_sweep >= SWEEP_SECONDS:
                since_sweep = 0.0
                await store.sweep()
                await store.recovery.drop_stale_events()
        except Exception:
            log.exception("housekeeping failed")


def model_settings(settings: Settings) -> ModelSettings:
    """Return what `settings` say about language models."""
    from onward.models.settings import ModelSettings, UpstreamSettings

    upstreams: tuple[UpstreamSettings, ...] = ()
    if settings.upstream_url:
        upstreams = (UpstreamSettings(name="upstream", base_url=settings.upstream_url, api_key=settings.upstream_key),)
    return ModelSettings(
        model=settings.model,
        upstreams=upstreams,
        aliases=settings.aliases,
        context_window=settings.context_window,
    )


def _without_ourselves(settings: Settings, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment without a base URL that is meant for this server's own clients."""
    from onward.api.auth import is_local_name

    try:
        address = urlsplit(environ.get("OPENAI_BASE_URL") or "")
        port = address.port
    except ValueError:
        return environ  # that it is no address is said where it is used
    if port != settings.port or not address.hostname or not is_local_name(address.netloc):
        return environ
    log.warning("OPENAI_BASE_URL is the address of this server itself: it is not used as an upstream")
    return {name: value for name, value in environ.items() if name != "OPENAI_BASE_URL"}


async def _open_models(settings: Settings, environ: Mapping[str, str], stack: AsyncExitStack) -> Catalog:
    from onward.models.catalog import Catalog
    from onward.models.chat_completions import Connections
    from onward.models.detect import detect

    wanted = model_settings(settings)
    environ = _without_ourselves(settings, environ)
    connections = await stack.enter_async_context(Connections())
    choice = await detect(wanted, environ, connections)
    return await stack.enter_async_context(Catalog(choice, wanted, environ, connections))


async def _open_embedder(settings: Settings, environ: Mapping[str, str], stack: AsyncExitStack) -> Embedder:
    if settings.embedder == "upstream":
        from onward.retrieval.embed.upstream import UpstreamEmbedder

        url = settings.upstream_url or environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        key = settings.upstream_key or environ.get("OPENAI_API_KEY")
        model = settings.embedding_model or "text-embedding-3-small"
        upstream = UpstreamEmbedder(url, model=model, api_key=key)
        stack.push_async_callback(upstream.aclose)
        return upstream
    from onward.retrieval.embed.local import LocalEmbedder

    local = LocalEmbedder(data_dir(settings))
    stack.push_async_callback(local.aclose)
    return local


def _open_outside(settings: Settings, stack: AsyncExitStack) -> Outside:
    from onward.egress.lazy import LazyClient

    client = LazyClient(settings.egress_allow)
    stack.push_async_callback(client.aclose)
    if settings.web_search_url is None:
        return Outside(egress=client)
    from onward.tools.searxng import SearxngSearch

    web = SearxngSearch(settings.web_search_url)
    stack.push_async_callback(web.aclose)
    return Outside(egress=client, web=web)


async def _open_retrieval(
    settings: Settings, store: SqliteStore, embedder: Embedder, outside: Outside, stack: AsyncExitStack
) -> tuple[Callable[[int], ProjectParts], Callable[[], Coroutine[None, None, None]]]:
    from onward.retrieval.index.sqlite import SqlitePassageIndex
    from onward.retrieval.ingest import Ingestion
    from onward.retrieval.library import PassageLibrary
    from onward.retrieval.parse.pool import ParserPool
    from onward.store.blobs_local import LocalBlobs
    from onward.store.sqlite.ledger import SqliteLedger
    from onward.store.sqlite.work import SqliteWork

    data = data_dir(settings)
    index = SqlitePassageIndex(data)
    stack.push_async_callback(index.aclose)
    parser = ParserPool()
    stack.push_async_callback(parser.aclose)
    blobs = LocalBlobs(data / "blobs")
    work = SqliteWork(store.state)
    library = PassageLibrary(parser=parser, embedder=embedder, index=index)
    ingestion = Ingestion(
        work=work,
        ledger=SqliteLedger(state=store.state, blobs=blobs, work=work),
        library=library,
        index=index,
        blobs=blobs,
        owner=store.node,
    )

    def make(key: int) -> ProjectParts:
        return _project(
            key, store, blobs=blobs, index=index, work=work, library=library, parser=parser, outside=outside
        )

    return make, ingestion.run


def _project(
    key: int,
    store: SqliteStore,
    *,
    blobs: Blobs,
    index: PassageIndex,
    work: SqliteWork,
    library: Library,
    parser: Parser,
    outside: Outside,
) -> ProjectParts:
    from onward.retrieval.cite import SentenceCiter
    from onward.retrieval.extract import extract_answer
    from onward.retrieval.query import make_queries
    from onward.store.sqlite.files import SqliteFiles
    from onward.store.sqlite.vector_stores import SqliteVectorStores
    from onward.tools.attachments import ProjectAttachments
    from onward.tools.search import ProjectSearch
    from onward.tools.toolset import ProjectToolset

    own = store.for_project(key)
    files = SqliteFiles(state=store.state, project=key, blobs=blobs, index=index, work=work)
    vector_stores = SqliteVectorStores(state=store.state, project=key, index=index, work=work)
    search = ProjectSearch(project=key, vector_stores=vector_stores, library=library)
    return ProjectParts(
        key=key,
        runs=own.runs,
        conversations=own.conversations,
        completions=own.completions,
        idempotency=own.idempotency,
        prompts=own.prompts,
        files=files,
        vector_stores=vector_stores,
        search=search,
        toolset=ProjectToolset(
            vector_stores=vector_stores,
            search=search,
            citers=SentenceCiter,
            extractor=extract_answer,
            query_maker=make_queries,
            egress=outside.egress,
            web=outside.web,
        ),
        attachments=ProjectAttachments(files=files, parser=parser, egress=outside.egress),
    )


def routes() -> list[BaseRoute]:
    """Return the routes of every dialect and resource, the busiest first."""
    from onward.api.chat import routes as chat
    from onward.api.chat import stored
    from onward.api.resources import (
        embeddings,
        file_batches,
        files,
        models,
        prompts,
        search,
        vector_store_files,
        vector_stores,
    )
    from onward.api.responses import conversation_files, conversations, input_tokens, socket
    from onward.api.responses import routes as responses

    modules = (
        responses,
        socket,
        conversation_files,
        conversations,
        chat,
        stored,
        input_tokens,
        files,
        vector_stores,
        vector_store_files,
        file_batches,
        search,
        embeddings,
        models,
        prompts,
    )
    return [route for module in modules for route in module.routes]


def _tune_collector() -> None:
    """Keep what the server is made of out of garbage collection, and collect less often than a script would."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


class Application:
    """The ASGI application of one server process; its lifespan opens and closes the composition."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], *, announce: bool) -> None:
        self._settings = settings
        self._environ = environ
        self._announce = announce
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        from onward.api.app import build_app

        await receive()
        try:
            async with compose(self._settings, self._environ) as (composition, sentence):
                self._app = build_app(composition, routes())
                _tune_collector()
                if self._announce:
                    await self._say(composition, sentence)
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except SetupError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    async def _say(self, composition: Composition, sentence: str) -> None:
        settings = self._settings
        log.info("serving http://%s:%d/v1, state in %s", settings.host, settings.port, settings.data)
        log.info("%s", sentence)
        if not await composition.projects.required():
            log.info("no API key is configured: every local caller is served, nobody else (onward keys create NAME)")


def create_worker() -> Application:
    """Return the application of one of several workers; its settings come from the environment that `serve` made."""
    _end_with_supervisor()
    settings = load(environ=os.environ).settings
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    return Application(settings, os.environ, announce=False)


def _end_with_supervisor() -> None:
    """End this worker when the process that started it is gone, also by a kill that it could not pass on."""
    import multiprocessing
    import signal
    import threading

    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return

    def watch() -> None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()


def serve(settings: Settings, environ: Mapping[str, str]) -> None:
    """Serve until a signal, with one process or several."""
    if settings.workers == 1:
        _run(Application(settings, environ, announce=True), settings)
        return
    os.environ.update(_as_environment(settings))
    log.info("serving http://%s:%d/v1 with %d processes", settings.host, settings.port, settings.workers)
    log.info("%s", asyncio.run(_describe_model(settings, environ)))
    asyncio.run(has_keys(settings))  # a directory that cannot be used is said once, not by every process
    _run("onward.wiring:create_worker", settings)


async def _describe_model(settings: Settings, environ: Mapping[str, str]) -> str:
    async with AsyncExitStack() as stack:
        return (await _open_models(settings, environ, stack)).choice.sentence


def _run(app: Application | str, settings: Settings) -> None:
    import uvicorn

    from onward.api.body import MAX_JSON_BYTES
    from onward.api.http1 import JoiningProtocol, websocket_protocol

    uvicorn.run(
        app,
        http=JoiningProtocol,
        ws=cast("type[asyncio.Protocol]", websocket_protocol),
        ws_max_size=MAX_JSON_BYTES,
        ws_ping_timeout=60,
        ws_per_message_deflate=False,
        factory=isinstance(app, str),
        workers=settings.workers,
        host=settings.host,
        port=settings.port,
        lifespan="on",
        timeout_graceful_shutdown=5,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        access_log=False,
    )


def _as_environment(settings: Settings) -> dict[str, str]:
    values = {name: getattr(settings, name) for name in Settings.__struct_fields__}
    values["aliases"] = ",".join(f"{alias}={target}" for alias, target in settings.aliases.items())
    values["egress_allow"] = ",".join(settings.egress_allow)
    return {f"ONWARD_{name.upper()}": str(value) for name, value in values.items() if value not in (None, "")}
