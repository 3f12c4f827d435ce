// An ordinary program of the AI SDK with its OpenAI provider: text, tools, objects, streams, chains.
// Only the environment says where the server is (OPENAI_BASE_URL, OPENAI_API_KEY).
import assert from "node:assert/strict";
import { openai } from "@ai-sdk/openai";
import { generateObject, generateText, Output, stepCountIs, streamObject, streamText, tool } from "ai";
import OpenAI, { toFile } from "openai";
import { z } from "zod";
import { collect, runChecks } from "./checks.mjs";

const responses = openai.responses("gpt-5");
const models = { responses, chat: openai.chat("gpt-5") };
const handbook = "# Opening hours\n\nThe support desk is open from nine to five on weekdays.\n";
const callWeather = 'What is the weather?\ncall get_weather {"city": "Oslo"}';
const schema = z.object({ name: z.string(), tags: z.array(z.string()) });
const tools = {
  get_weather: tool({
    description: "Return the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `Sunny in ${city}`,
  }),
};
const stopWhen = stepCountIs(5);

const checks = {
  async "the provider's own choice answers"() {
    const { text } = await generateText({ model: openai("gpt-5"), prompt: "Say hello" });
    assert.equal(text, "You said: Say hello");
  },

  async "previousResponseId chains"() {
    const first = await generateText({ model: responses, prompt: callWeather, tools, stopWhen });
    const previousResponseId = first.providerMetadata.openai.responseId;
    assert.match(previousResponseId, /^resp_/);
    const providerOptions = { openai: { previousResponseId } };
    const second = await generateText({ model: responses, prompt: "thanks", tools, providerOptions });
    assert.equal(second.text, "You said: thanks");
  },

  async "a conversation keeps what was said"() {
    const url = `${process.env.OPENAI_BASE_URL}/conversations`;
    const made = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
    const conversation = (await made.json()).id;
    const providerOptions = { openai: { conversation } };
    await generateText({ model: responses, prompt: "one", providerOptions });
    const { text } = await generateText({ model: responses, prompt: "two", providerOptions });
    assert.equal(text, "You said: two");
    const items = (await (await fetch(`${url}/${conversation}/items?order=asc`)).json()).data;
    assert.deepEqual(items.map((item) => item.content[0].text), ["one", "You said: one", "two", "You said: two"]);
  },

  async "hosted file search cites its files"() {
    const client = new OpenAI();
    const store = await client.vectorStores.create({ name: "handbook" });
    const file = await toFile(Buffer.from(handbook), "handbook.md");
    await client.vectorStores.files.uploadAndPoll(store.id, file);
    const result = await generateText({
      model: responses,
      prompt: 'call file_search {"queries": ["when is the desk open"]}',
      tools: { file_search: openai.tools.fileSearch({ vectorStoreIds: [store.id] }) },
      providerOptions: { openai: { include: ["file_search_call.results"] } },
    });
    assert.match(result.text, /nine to five/);
    const found = result.toolResults[0];
    assert.equal(found.toolName, "file_search");
    assert.equal(found.output.results[0].filename, "handbook.md");
    assert.equal(result.sources[0].filename, "handbook.md");
  },

  async "nothing is stored with store: false"() {
    const providerOptions = { openai: { store: false } };
    const first = await generateText({ model: responses, prompt: callWeather, tools, stopWhen, providerOptions });
    assert.equal(first.text, "The tool said: Sunny in Oslo");
    const stored = await fetch(`${process.env.OPENAI_BASE_URL}/responses/${first.response.id}`);
    assert.equal(stored.status, 404);
  },
};

for (const [kind, model] of Object.entries(models)) {
  Object.assign(checks, {
    async [`${kind}: generateText calls tools`]() {
      const { text, steps, totalUsage } = await generateText({ model, prompt: callWeather, tools, stopWhen });
      assert.equal(text, "The tool said: Sunny in Oslo");
      assert.deepEqual(steps[0].toolCalls[0].input, { city: "Oslo" });
      assert.equal(steps[0].finishReason, "tool-calls");
      assert.equal(steps[1].finishReason, "stop");
      assert.ok(totalUsage.totalTokens > 0);
    },

    async [`${kind}: a required tool is called`]() {
      const { toolCalls } = await generateText({ model, prompt: "Oslo", tools, toolChoice: "required" });
      assert.equal(toolCalls[0].toolName, "get_weather");
    },

    async [`${kind}: streamText streams text`]() {
      const result = streamText({ model, system: "Be brief.", prompt: "one two three" });
      const deltas = await collect(result.textStream);
      assert.ok(deltas.length > 1);
      assert.equal(deltas.join(""), "You said: one two three");
      assert.equal(await result.finishReason, "stop");
    },

    async [`${kind}: streamText goes through tool calls`]() {
      const result = streamText({ model, prompt: callWeather, tools, stopWhen });
      const parts = await collect(result.fullStream);
      assert.ok(!parts.some((part) => part.type === "error"));
      for (const type of ["tool-input-start", "tool-input-delta", "tool-call", "tool-result", "text-delta"]) {
        assert.ok(parts.some((part) => part.type === type), type);
      }
      assert.equal(await result.text, "The tool said: Sunny in Oslo");
    },

    async [`${kind}: the messages of a turn are the history of the next`]() {
      const messages = [{ role: "user", content: callWeather }];
      const first = await generateText({ model, messages, tools, stopWhen });
      messages.push(...first.response.messages, { role: "user", content: "thanks" });
      const second = await generateText({ model, messages, tools });
      assert.equal(second.text, "You said: thanks");
    },

    async [`${kind}: generateObject makes an object`]() {
      const { object } = await generateObject({ model, schema, prompt: "Ada" });
      assert.deepEqual(object, { name: "Ada", tags: [] });
    },

    async [`${kind}: generateText makes an object`]() {
      const { output } = await generateText({ model, output: Output.object({ schema }), prompt: "Ada" });
      assert.deepEqual(output, { name: "Ada", tags: [] });
    },

    async [`${kind}: streamObject makes an object`]() {
      const result = streamObject({ model, schema, prompt: "Ada" });
      assert.ok((await collect(result.partialObjectStream)).length > 0);
      assert.deepEqual(await result.object, { name: "Ada", tags: [] });
    },
  });
}

await runChecks(checks);
