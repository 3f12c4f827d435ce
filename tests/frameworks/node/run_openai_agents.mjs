// An ordinary program of the OpenAI Agents SDK: tools, a handoff, structured output, streams, sessions, chains.
// Only the environment says where the server is (OPENAI_BASE_URL, OPENAI_API_KEY).
import assert from "node:assert/strict";
import { Agent, OpenAIConversationsSession, run, tool } from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";
import { collect, runChecks } from "./checks.mjs";

const model = "gpt-5";
const callWeather = 'What is the weather?\ncall get_weather {"city": "Oslo"}';
const Person = z.object({ name: z.string(), tags: z.array(z.string()) });
const getWeather = tool({
  name: "get_weather",
  description: "Return the weather of a city.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `Sunny in ${city}`,
});
const helper = new Agent({ name: "helper", model, instructions: "Be brief.", tools: [getWeather] });
const kindsOf = (items) => items.map((item) => item.type);
const turn = ["message", "function_call", "function_call_output", "message"];

await runChecks({
  async "a run answers"() {
    const result = await run(helper, "Say hello");
    assert.equal(result.finalOutput, "You said: Say hello");
    assert.match(result.lastResponseId, /^resp_/);
  },

  async "a function tool is called and answered"() {
    const result = await run(helper, callWeather);
    assert.equal(result.finalOutput, "The tool said: Sunny in Oslo");
    assert.deepEqual(kindsOf(result.newItems), ["tool_call_item", "tool_call_output_item", "message_output_item"]);
  },

  async "a handoff gives the turn to another agent"() {
    const spanish = new Agent({ name: "Spanish agent", model, instructions: "You speak Spanish." });
    const triage = Agent.create({ name: "Triage agent", model, handoffs: [spanish] });
    const result = await run(triage, "call transfer_to_Spanish_agent {}");
    assert.equal(result.lastAgent, spanish);
    assert.match(result.finalOutput, /Spanish agent/);
  },

  async "structured output is an object"() {
    const result = await run(new Agent({ name: "extractor", model, outputType: Person }), "Ada");
    assert.deepEqual(result.finalOutput, { name: "Ada", tags: [] });
  },

  async "a stream brings deltas and items"() {
    const result = await run(helper, callWeather, { stream: true });
    const events = await collect(result);
    await result.completed;
    const deltas = events
      .filter((event) => event.type === "raw_model_stream_event" && event.data.type === "output_text_delta")
      .map((event) => event.data.delta);
    assert.ok(deltas.length > 1);
    assert.equal(deltas.join(""), "The tool said: Sunny in Oslo");
    const names = events.filter((event) => event.type === "run_item_stream_event").map((event) => event.name);
    assert.deepEqual(names, ["tool_called", "tool_output", "message_output_created"]);
    assert.equal(result.finalOutput, "The tool said: Sunny in Oslo");
  },

  async "structured output streams"() {
    const result = await run(new Agent({ name: "extractor", model, outputType: Person }), "Ada", { stream: true });
    await collect(result);
    await result.completed;
    assert.deepEqual(result.finalOutput, { name: "Ada", tags: [] });
  },

  async "previousResponseId chains runs"() {
    const first = await run(helper, callWeather);
    const second = await run(helper, callWeather, { previousResponseId: first.lastResponseId });
    assert.equal(second.finalOutput, "The tool said: Sunny in Oslo");
    const items = await collect(new OpenAI().responses.inputItems.list(second.lastResponseId, { order: "asc" }));
    assert.equal(kindsOf(items).filter((kind) => kind === "function_call_output").length, 2);
  },

  async "a result is the input of the next run"() {
    const first = await run(helper, callWeather);
    const second = await run(helper, [...first.history, { role: "user", content: "and now?" }]);
    assert.equal(second.finalOutput, "You said: and now?");
  },

  async "a conversation is given by id"() {
    const client = new OpenAI();
    const { id } = await client.conversations.create({});
    await run(helper, callWeather, { conversationId: id });
    await run(helper, "thanks", { conversationId: id });
    const items = await collect(client.conversations.items.list(id, { order: "asc" }));
    assert.deepEqual(kindsOf(items), [...turn, "message", "message"]);
  },

  async "a conversations session keeps the history"() {
    const session = new OpenAIConversationsSession();
    await run(helper, callWeather, { session });
    const second = await run(helper, "thanks", { session });
    assert.equal(second.finalOutput, "You said: thanks");
    assert.equal((await session.getItems()).length, 6);
    assert.equal((await session.getItems(2)).length, 2);
    assert.equal((await session.popItem()).role, "assistant");
    assert.equal((await session.getItems()).length, 5);
    await session.clearSession();
  },
});
