// The main paths of the API through the Node SDK: each line of the output is a check that held.
// Usage: node conformance.mjs BASE_URL. Ends with status 1 at the first check that does not hold.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0, timeout: 60_000 });
const model = "gpt-5";
const weather = {
  type: "function",
  name: "get_weather",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  strict: false,
};
const policy =
  "# Refund policy\n\nPartial refunds are given within thirty days for goods that were opened but not used.\n\n" +
  "## Digital goods\n\nDigital goods are refunded only before they are downloaded.\n";

async function collect(list) {
  const items = [];
  for await (const item of list) items.push(item);
  return items;
}

async function refused(promise, kind, status, code) {
  const error = await promise.then(
    () => assert.fail("the request was not refused"),
    (reason) => reason,
  );
  assert.ok(error instanceof kind, `${error}`);
  assert.equal(error.status, status);
  assert.equal(error.code, code);
  assert.ok(error.requestID);
  return error;
}

const checks = {
  async "a response is created, retrieved, listed and deleted"() {
    const response = await client.responses.create({ model, input: "Say hello", metadata: { a: "b" } });
    assert.equal(response.status, "completed");
    assert.equal(response.output_text, "You said: Say hello");
    assert.ok(response._request_id);
    const again = await client.responses.retrieve(response.id);
    assert.deepEqual(again.output, response.output);
    assert.deepEqual(again.metadata, { a: "b" });
    const inputs = await collect(client.responses.inputItems.list(response.id));
    assert.equal(inputs[0].content[0].text, "Say hello");
    await client.responses.delete(response.id);
    await refused(client.responses.retrieve(response.id), OpenAI.NotFoundError, 404, null);
  },

  async "a chain brings its history"() {
    const first = await client.responses.create({ model, input: "one" });
    const second = await client.responses.create({ model, input: "two", previous_response_id: first.id });
    const inputs = await collect(client.responses.inputItems.list(second.id, { order: "asc", limit: 2 }));
    assert.deepEqual(inputs.map((item) => item.content[0].text), ["one", "You said: one", "two"]);
  },

  async "raw events are numbered and the stream ends"() {
    const stream = await client.responses.create({ model, input: "stream me", stream: true });
    const events = await collect(stream);
    assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, index) => index));
    assert.equal(events.at(0).type, "response.created");
    assert.equal(events.at(-1).type, "response.completed");
  },

  async "the stream helper accumulates the response"() {
    const deltas = [];
    const stream = client.responses.stream({ model, input: "stream me" });
    stream.on("response.output_text.delta", (event) => deltas.push(event.delta));
    const final = await stream.finalResponse();
    assert.equal(final.output_text, "You said: stream me");
    assert.equal(deltas.join(""), final.output_text);
    assert.equal((await client.responses.retrieve(final.id)).output_text, final.output_text);
  },

  async "a function call goes to the client and its output comes back"() {
    const input = 'call get_weather {"city": "Oslo"}';
    const first = await client.responses.create({ model, input, tools: [weather] });
    const call = first.output[0];
    assert.equal(call.type, "function_call");
    assert.deepEqual(JSON.parse(call.arguments), { city: "Oslo" });
    const output = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
    const next = { model, input: [output], tools: [weather], previous_response_id: first.id };
    assert.match((await client.responses.create(next)).output_text, /sunny/);
    const unanswered = client.responses.create({ model, input: "and?", previous_response_id: first.id });
    const error = await refused(unanswered, OpenAI.BadRequestError, 400, null);
    assert.match(error.message, new RegExp(`No tool output found for function call ${call.call_id}`));
  },

  async "the stream helper collects a function call"() {
    const input = 'call get_weather {"city": "Oslo"}';
    const stream = client.responses.stream({ model, input, tools: [weather] });
    const final = await stream.finalResponse();
    assert.equal(final.output[0].name, "get_weather");
    assert.deepEqual(JSON.parse(final.output[0].arguments), { city: "Oslo" });
  },

  async "structured output is JSON of the schema"() {
    const schema = {
      type: "object",
      properties: { name: { type: "string" } },
      required: ["name"],
      additionalProperties: false,
    };
    const format = { type: "json_schema", name: "person", schema, strict: true };
    const response = await client.responses.parse({ model, input: "A person", text: { format } });
    assert.deepEqual(Object.keys(JSON.parse(response.output_text)), ["name"]);
  },

  async "a conversation keeps what was said"() {
    const items = [{ type: "message", role: "user", content: "earlier" }];
    const conversation = await client.conversations.create({ items, metadata: { topic: "demo" } });
    await client.responses.create({ model, input: "now", conversation: conversation.id });
    const listed = await collect(client.conversations.items.list(conversation.id, { order: "asc", limit: 1 }));
    assert.deepEqual(listed.map((item) => item.content[0].text), ["earlier", "now", "You said: now"]);
    const one = await client.conversations.items.retrieve(listed[1].id, { conversation_id: conversation.id });
    assert.equal(one.id, listed[1].id);
    await client.conversations.items.delete(listed[1].id, { conversation_id: conversation.id });
    const changed = await client.conversations.update(conversation.id, { metadata: { topic: "other" } });
    assert.deepEqual(changed.metadata, { topic: "other" });
    assert.equal((await client.conversations.delete(conversation.id)).deleted, true);
    await assert.rejects(client.conversations.retrieve(conversation.id), OpenAI.NotFoundError);
  },

  async "files are uploaded, read and deleted"() {
    const file = await client.files.create({ file: await toFile(Buffer.from("héllo"), "note.txt"), purpose: "user_data" });
    assert.equal(file.bytes, 6);
    assert.equal(file.filename, "note.txt");
    assert.equal(await (await client.files.content(file.id)).text(), "héllo");
    assert.ok((await collect(client.files.list({ purpose: "user_data" }))).some((one) => one.id === file.id));
    assert.equal((await client.files.delete(file.id)).deleted, true);
  },

  async "file_search answers from uploaded files with citations"() {
    const store = await client.vectorStores.create({ name: "kb" });
    const files = await Promise.all([
      toFile(Buffer.from(policy), "policy.md"),
      toFile(Buffer.from("# Opening hours\n\nThe shop is closed on Sundays.\n"), "hours.md"),
    ]);
    const batch = await client.vectorStores.fileBatches.uploadAndPoll(store.id, { files });
    assert.equal(batch.status, "completed");
    assert.equal(batch.file_counts.completed, 2);
    const found = await collect(client.vectorStores.search(store.id, { query: "refund of digital goods" }));
    assert.equal(found[0].filename, "policy.md");
    const response = await client.responses.create({
      model,
      input: 'call file_search {"queries": ["refund of digital goods"]}',
      tools: [{ type: "file_search", vector_store_ids: [store.id] }],
      include: ["file_search_call.results"],
    });
    const [call, message] = response.output;
    assert.equal(call.type, "file_search_call");
    assert.equal(call.results[0].filename, "policy.md");
    const cited = message.content[0].annotations.map((annotation) => annotation.filename);
    assert.ok(cited.includes("policy.md"));
    const attached = await collect(client.vectorStores.files.list(store.id));
    assert.equal(attached.length, 2);
    assert.equal((await client.vectorStores.delete(store.id)).deleted, true);
  },

  async "embeddings come back as numbers"() {
    const answer = await client.embeddings.create({ model: "text-embedding-3-small", input: ["a", "b"] });
    assert.equal(answer.data.length, 2);
    assert.ok(Math.abs(Math.hypot(...answer.data[0].embedding) - 1) < 1e-3);
  },

  async "models are listed"() {
    assert.ok((await collect(client.models.list())).length > 0);
  },

  async "errors are of the class, status and code of the contract"() {
    await refused(
      client.responses.create({ model, input: "x", previous_response_id: "resp_none" }),
      OpenAI.BadRequestError, 400, "previous_response_not_found",
    );
    await refused(client.responses.create({ model, input: "x", temperature: 3 }), OpenAI.BadRequestError, 400,
      "decimal_above_max_value");
    await refused(client.responses.retrieve("resp_none"), OpenAI.NotFoundError, 404, null);
    const stream = client.responses.create({ model, input: "x", stream: true, previous_response_id: "resp_none" });
    await refused(stream, OpenAI.BadRequestError, 400, "previous_response_not_found");
  },
};

for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
  } catch (error) {
    console.error(`not ok: ${name}\n${error.stack}`);
    process.exit(1);
  }
  console.log(`ok: ${name}`);
}
