"""The turn loop: model, tools, model again, until the model is done, the client has to act, or something ends it."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec
from msgspec import Struct

from onward.core import compose
from onward.core.clock import now
from onward.core.errors import InternalError, OnwardError, UpstreamError
from onward.core.events import (
    Delta,
    Event,
    ToolFinished,
    ToolStarted,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    UsageReported,
)
from onward.core.ids import new_id
from onward.core.items import Item, encode
from onward.core.lineage import Lineage
from onward.core.tokens import estimate_tokens
from onward.core.tools import FileSearchTool, McpTool, ToolCall
from onward.core.turns import RunError, TurnRequest, TurnResult
from onward.core.usage import Usage
from onward.engine.assembly import recent_questions, with_passages
from onward.engine.budget import Limit, limit_output
from onward.engine.context import ContextCache
from onward.engine.dispatch import exchange
from onward.engine.inline import read_documents
from onward.engine.live import LiveRun
from onward.engine.output import HostedCall, Output, Seed
from onward.engine.pairs import paired
from onward.engine.preparation import Prepared
from onward.engine.project import TurnProject
from onward.engine.run_state import Ended, RunState
from onward.engine.servers import Approved, as_calls
from onward.engine.telling import Telling
from onward.ports.hosted import Outcome, Passage, Session
from onward.ports.idempotency import AlreadyClaimed
from onward.ports.model import Model, ModelRequest, TextDelta
from onward.ports.runs import LeaseLost, ModelCall

log = logging.getLogger("onward.engine")

MAX_MODEL_CALLS: Final = 32
"""Model calls of one turn; a model that never stops calling tools ends here."""

ANNOUNCE_SECONDS: Final = 5.0
"""How long a stream's first event waits for the upstream's headers, so that an early fault is an HTTP error."""

NOTHING_FOUND: Final = "Nothing in the files answers that."
"""The extractive answer where no sentence fits."""

RUN_ERROR_CODES: Final = ("server_error", "rate_limit_exceeded", "invalid_prompt", "vector_store_timeout")
"""Codes of faults that keep their name in `error.code` of a failed run."""


class _Calling(Struct, frozen=True):
    """A model call under way."""

    ordinal: int
    started: float
    first_item: int


class Turn:
    """One turn in progress."""

    def __init__(
        self,
        project: TurnProject,
        request: TurnRequest,
        model: Model,
        prepared: Prepared,
        state: RunState,
        cache: ContextCache,
        telling: Telling,
        live: LiveRun | None,
        *,
        slot: AbstractAsyncContextManager[None] | None = None,
        seed: Seed | None = None,
    ) -> None:
        self._project = project
        self._request = request
        self._model = model
        self._dispatch = dispatch = prepared.dispatch
        self._recalled = prepared.recalled
        self._session: Session | None = None
        self._assembly = prepared.assembly
        self._base = prepared.base
        self._state = state
        self._cache = cache
        self._telling = telling
        self._emit = telling.tell
        self._live = live
        self._output = Output(
            hosted=dispatch.offer,
            function=dispatch.function,
            parallel_tool_calls=request.parallel_tool_calls,
            allowance=request.max_tool_calls,
        )
        self._slot = slot
        self._seed = seed
        if seed is not None:
            self._output.resume(seed)
        self._passages: list[Passage] = []
        self._exchanges: list[bytes] = []
        self._limit: Limit = "max_output_tokens"
        self._rendered: bytes | None = None
        """The fragment of what is new, as the next turn will read it too."""
        self._calling: _Calling | None = None
        self._announced = seed is not None and seed.begun
        self._announcing: asyncio.Future[None] | None = None

    async def run(self, session: Session | None) -> TurnResult:
        """Run to the end with the hosted tools of `session`.

        Raises OnwardError where it fails before anything was emitted.
        """
        self._session = session
        try:
            return await self._run()
        except LeaseLost:
            return await self._let_go()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            if self._state.lost:
                task.uncancel()
                return await self._let_go()
            asked = self._live is not None and self._live.cancelled
            if self._request.background and not asked:
                raise  # this process ends: another one goes on with the run
            result = await asyncio.shield(self._cancel())
            if not asked:
                raise
            task.uncancel()
            return result

    async def _let_go(self) -> TurnResult:
        """Leave the run to whoever took or cancelled it. Raises InternalError where nothing was told yet."""
        error = InternalError("The run was taken over or cancelled by another process.")
        if self._request.background or not (self._announced and self._request.stream):
            raise error
        usage = self._output.usage
        failure = RunError(error.run_code, error.message)
        await self._telling.tell_only((TurnFailed(failure, usage),))
        return TurnResult("failed", self._output.closed, usage, now(), failure)

    async def _run(self) -> TurnResult:
        try:
            await self._state.begin()
            if self._slot is None:
                return await self._finish(await self._generate())
            async with self._slot:
                await self._state.start()
                await self._announce()
                return await self._finish(await self._go_on(self._seed) if self._seed else await self._generate())
        except OnwardError as error:
            return await self._fail(error)
        except (LeaseLost, AlreadyClaimed):
            raise
        except Exception as error:
            log.exception("turn failed")
            return await self._fail(InternalError(), cause=error)

    async def _go_on(self, seed: Seed) -> Ended:
        """Close what the earlier process left open, and generate the rest where there is one."""
        if seed.closing:
            await self._emit(seed.closing)
        if seed.finished:
            tokens = sum(item.tokens for item in self._output.closed)
            return Ended(status="completed", usage=Usage(self._assembly.tokens, tokens, estimated=True))
        context = as_calls(paired(seed.context, waiting=()))
        if context:
            self._exchanges.append(self._model.render(context))
        return await self._generate()

    async def _generate(self) -> Ended:
        fresh = self._assembly.fresh
        searched = False
        await self._open_servers()
        if self._searches_first():
            fresh = await self._search_first(fresh)
            searched = True
            if self._model.capabilities.extractive:
                return await self._extract(fresh)
        elif self._reads_itself():
            self._passages = read_documents(fresh)
            if self._passages:
                await self._announce()
                return await self._extract(fresh)
        rendered = self._model.render(fresh)
        if fresh is self._assembly.fresh:
            self._rendered = rendered
        for ordinal in range(MAX_MODEL_CALLS):
            ended = await self._call_model(rendered, ordinal, searched=searched)
            if ended is not None:
                return ended
            if not self._output.hosted_calls:
                return Ended(status="completed", usage=self._output.usage)
            await self._run_tools()
            if self._output.client_calls or self._output.approvals:
                return Ended(status="completed", usage=self._output.usage)
        raise UpstreamError(f"The model called tools {MAX_MODEL_CALLS} times without an answer.")

    async def _call_model(self, rendered: bytes, ordinal: int, *, searched: bool) -> Ended | None:
        output = self._output
        output.begin_call()
        request = self._model_request(rendered, first=ordinal == 0, searched=searched)
        if request.sampling.max_output_tokens is not None and request.sampling.max_output_tokens <= 0:
            return Ended(status="incomplete", usage=output.usage, incomplete_reason=self._limit)
        self._calling = _Calling(ordinal, now(), len(output.items))
        timer = None
        if request.stream and not self._announced:
            timer = asyncio.get_running_loop().call_later(ANNOUNCE_SECONDS, self._announce_soon)
        try:
            async with self._model.call(request) as batches:
                if timer is not None:
                    timer.cancel()
                await self._announce()
                async for batch in batches:
                    if events := output.take(batch):
                        await self._emit(events)
        finally:
            if timer is not None:
                timer.cancel()
        reason = output.finish_reason
        cut = reason in ("length", "content_filter")
        if events := output.end_call(status="incomplete" if cut else "completed"):
            await self._emit(events)
        self._account()
        if output.fault is not None:
            raise output.fault
        if cut:
            why = self._limit if reason == "length" else "content_filter"
            return Ended(status="incomplete", usage=output.usage, incomplete_reason=why)
        return None

    def _model_request(self, rendered: bytes, *, first: bool, searched: bool) -> ModelRequest:
        request = self._request
        hosted = not searched and (self._output.allowance is None or self._output.allowance > 0)
        sampling = request.sampling
        if sampling.max_output_tokens is not None:
            left = sampling.max_output_tokens - self._output.usage.output_tokens
            sampling = msgspec.structs.replace(sampling, max_output_tokens=left)
        used = self._output.usage.total_tokens
        sampling, self._limit = limit_output(sampling, request.token_budget, used=used, asked=self._asked)
        context = [
            part for part in (self._assembly.preamble, *self._assembly.history, rendered, *self._exchanges) if part
        ]
        return ModelRequest(
            context=context,
            instructions=request.instructions,
            tools=self._dispatch.declarations(hosted=hosted),
            tool_choice=self._dispatch.choice(first=first and not searched, hosted=hosted),
            parallel_tool_calls=request.parallel_tool_calls,
            format=request.format,
            sampling=sampling,
            stream=request.stream,
        )

    @property
    def _asked(self) -> int:
        """The estimated input of a model call, with what the turn has exchanged with tools so far."""
        return self._assembly.tokens + sum(estimate_tokens(fragment) for fragment in self._exchanges)

    def _account(self) -> None:
        """Add the usage of the model call that has ended, or was ended; estimated where the upstream never said."""
        calling, self._calling = self._calling, None
        if calling is None:
            return
        usage = self._output.call_usage
        if usage is None:
            usage = Usage(self._asked, (self._output.generated_characters + 3) // 4, estimated=True)
        self._output.usage += usage
        self._state.calls.append(
            ModelCall(
                ordinal=calling.ordinal,
                upstream=self._model.upstream,
                model=self._model.name,
                started_at=calling.started,
                ended_at=now(),
                finish_reason=self._output.finish_reason,
                usage=usage,
                first_item=calling.first_item,
                last_item=len(self._output.items),
            )
        )

    async def _open_servers(self) -> None:
        """List the tools of servers that the context does not know, then run the calls that the client approved."""
        for tool in self._recalled.unlisted:
            assert isinstance(tool, McpTool) and self._session is not None
            call = ToolCall(new_id("call_"), "", "")
            hosted, opened = self._output.open_hosted("mcp_list_tools", call, label=tool.label)
            await self._announce()
            await self._emit((opened,))
            outcome = await self._session.list_tools(tool)
            item = await self._settle_tool(hosted, outcome)
            if outcome.fault is not None:
                raise outcome.fault
            self._dispatch.listed(tool, item)
        results = [await self._run_approved(approved) for approved in self._recalled.approved]
        if results:
            self._exchanges.append(self._model.render(exchange(results, preface=())))

    async def _run_approved(self, approved: Approved) -> tuple[ToolCall, Outcome]:
        offer = self._dispatch.approved_offer(approved.tool, approved.name)
        call = ToolCall(new_id("call_"), offer.function.name, approved.arguments)
        hosted, opened = self._output.open_hosted(offer.item_type, call, offer=offer)
        await self._announce()
        await self._emit((opened, Delta(hosted.index, "arguments", call.arguments)))
        return call, await self._run_tool(hosted, approval=approved.request_id)

    async def _run_tools(self) -> None:
        await self._emit((UsageReported(self._output.usage),))
        results = [(hosted.call, await self._run_tool(hosted)) for hosted in self._output.hosted_calls]
        if not self._output.client_calls and not self._output.approvals:
            self._exchanges.append(self._model.render(exchange(results, preface=self._output.said)))

    async def _run_tool(self, hosted: HostedCall, *, approval: str | None = None) -> Outcome:
        assert hosted.offer is not None and self._session is not None
        call = hosted.call
        await self._emit((ToolStarted(hosted.index, self._dispatch.queries(call), call.arguments),))
        outcome = await self._session.run(hosted.offer, call, approval=approval)
        await self._settle_tool(hosted, outcome)
        return outcome

    async def _settle_tool(self, hosted: HostedCall, outcome: Outcome) -> Item:
        # Calls of tool servers are read again in later turns; searches are not.
        tokens = estimate_tokens(outcome.body) if hosted.type == "mcp_call" else 0
        item = compose.hosted_call(hosted.id, hosted.type, body=outcome.body, status=outcome.status, tokens=tokens)
        closed = self._output.close_hosted(hosted, item)
        self._passages.extend(outcome.passages)
        if self._passages and self._request.format.kind == "text":
            passages = tuple(self._passages)
            self._output.new_citer = lambda: self._project.toolset.citer(passages)
        await self._emit((ToolFinished(hosted.index, outcome.status), closed))
        return item

    def _searches_first(self) -> bool:
        capabilities = self._model.capabilities
        if not (capabilities.forced_retrieval or capabilities.extractive) or self._request.max_tool_calls == 0:
            return False
        fresh = self._assembly.fresh
        asks = bool(fresh) and fresh[-1].type == "message" and fresh[-1].role == "user"
        readable = not capabilities.extractive or self._request.format.kind == "text"
        return asks and readable and self._dispatch.search_tool is not None

    def _reads_itself(self) -> bool:
        """Tell whether files that came with the question are answered from without a model."""
        request = self._request
        return (
            self._model.capabilities.extractive
            and request.format.kind == "text"
            and request.tool_choice.mode != "required"
        )

    async def _search_first(self, fresh: Sequence[Item]) -> Sequence[Item]:
        tool = self._dispatch.search_tool
        assert isinstance(tool, FileSearchTool)
        questions = await self._questions()
        call = ToolCall(new_id("call_"), "file_search", "{}")
        hosted, opened = self._output.open_hosted("file_search_call", call)
        await self._announce()
        await self._emit((opened, ToolStarted(hosted.index, tuple(questions[-1:]))))
        if self._output.allowance is not None:
            self._output.allowance -= 1
        capabilities = self._model.capabilities
        outcome = await self._project.toolset.search_first(
            tool, questions, limit=capabilities.passage_limit, tokens=capabilities.passage_tokens
        )
        if outcome is None:
            body = encode({"queries": questions[-1:], "results": []})
            await self._settle_tool(hosted, Outcome(body, ""))
            return fresh
        await self._settle_tool(hosted, outcome)
        return with_passages(fresh, outcome.answer) if outcome.passages else fresh

    async def _questions(self) -> list[str]:
        """Return the last questions as they were asked: without the text of files that came with them."""
        return await recent_questions(self._project, self._base, self._request.input[self._base.matched :])

    async def _extract(self, fresh: Sequence[Item]) -> Ended:
        questions = await self._questions()
        answer = await asyncio.to_thread(self._project.toolset.extract, questions, self._passages) or NOTHING_FOUND
        for sentence in answer.splitlines(keepends=True):
            await self._emit(self._output.take((TextDelta(sentence),)))
        await self._emit(self._output.end_call())
        usage = Usage(self._assembly.tokens, estimate_tokens(answer), estimated=True)
        self._output.usage += usage
        return Ended(status="completed", usage=self._output.usage)

    def _announce_soon(self) -> None:
        if not self._announced and self._announcing is None:
            self._announcing = asyncio.ensure_future(self._emit_started())

    async def _announce(self) -> None:
        if self._announcing is not None:
            await self._announcing
        if not self._announced:
            await self._emit_started()

    async def _emit_started(self) -> None:
        await self._state.begun()
        self._announced = True
        await self._emit((TurnStarted(),))

    async def _finish(self, ended: Ended) -> TurnResult:
        output = self._output.closed
        kept = output
        types = self._request.kept_types
        if types is not None:
            kept = tuple(item for item in output if item.type in types)
        ended_at = now()
        recording = await self._telling.recording(kept)
        calls = self._open_calls
        lineage = await self._state.end(ended, kept, open_calls=calls, ended_at=ended_at, recording=recording)
        if lineage is not None:
            # After the answer has been written: it is for the next turn, not for this one.
            asyncio.get_running_loop().call_soon(self._keep_context, lineage, kept)
        last = (
            TurnIncomplete(ended.incomplete_reason or "", ended.usage)
            if ended.status == "incomplete"
            else TurnCompleted(ended.usage, ended_at)
        )
        await self._telling.tell_end((last,))
        return TurnResult(ended.status, output, ended.usage, ended_at, None, ended.incomplete_reason)

    @property
    def _open_calls(self) -> tuple[str, ...]:
        """The calls that the next turn has to answer; one that was cut short is none."""
        return tuple(call.call_id for call in self._output.client_calls)

    def _keep_context(self, lineage: Lineage, output: Sequence[Item]) -> None:
        key = self._assembly.key
        rendered = self._model.render(self._assembly.fresh) if self._rendered is None else self._rendered
        fragment = rendered + self._model.render(as_calls(paired(output, waiting=self._open_calls)))
        fragments = (*self._assembly.history, fragment) if fragment else tuple(self._assembly.history)
        self._cache.put((key[0], key[1], lineage, key[3]), fragments, grown_from=key)

    async def _fail(self, error: OnwardError, *, cause: Exception | None = None) -> TurnResult:
        code = error.code if error.code in RUN_ERROR_CODES else type(error).run_code
        events = self._output.end_call(status="incomplete")
        self._account()
        ended = Ended(status="failed", usage=self._output.usage, error=RunError(code, error.message))
        if self._announcing is not None:
            await asyncio.gather(self._announcing, return_exceptions=True)
        try:
            result = await self._stop(ended, events)
        except LeaseLost:
            raise
        except Exception as lost:  # noqa: BLE001 - the client learns why the turn failed, not that this was not stored
            if lost not in (error, cause):
                log.warning("the end of a failed turn was not stored: %s", lost)
            result = TurnResult("failed", self._output.closed, ended.usage, now(), ended.error)
        told = self._announced and self._request.stream
        if not told and not self._request.background:
            raise error from cause
        assert ended.error is not None
        await self._telling.tell_end((*events, TurnFailed(ended.error, ended.usage)))
        return result

    async def _cancel(self) -> TurnResult:
        events = self._output.end_call(status="incomplete")
        self._account()
        if self._announcing is not None:
            self._announcing.cancel()
            await asyncio.gather(self._announcing, return_exceptions=True)
        ended = Ended(status="cancelled", usage=self._output.usage)
        try:
            result = await self._stop(ended, events)
        except OnwardError:
            result = None  # it never began, or it had ended already
        except Exception:
            log.exception("the end of a cancelled turn was not stored")
            result = None
        if result is None:
            return TurnResult("cancelled", self._output.closed, ended.usage, now())
        if self._live is not None and self._live.cancelled:
            await self._telling.tell_end((*events, TurnCancelled(ended.usage)))
        return result

    async def _stop(self, ended: Ended, events: Sequence[Event]) -> TurnResult:
        """Store an end before the model was done; `events` closed what was open."""
        output = self._output.closed
        ended_at = now()
        recording = await self._telling.recording(output, events)
        await self._state.end(ended, output, ended_at=ended_at, recording=recording)
        return TurnResult(ended.status, output, ended.usage, ended_at, ended.error)
