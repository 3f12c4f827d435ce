// Runs the checks of a program one after the other; each line of the output is a check that held.
export async function runChecks(checks) {
  for (const [name, check] of Object.entries(checks)) {
    await check();
    console.log(`ok: ${name}`);
  }
}

export async function collect(stream) {
  const found = [];
  for await (const one of stream) found.push(one);
  return found;
}
