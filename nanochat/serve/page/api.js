// Speaking with the server: what it can do, and one upload read event by event.

let key = sessionStorage.getItem("api-key") ?? "";

export class NeedsKey extends Error {}
export class NeedsPassword extends Error {}

export function setKey(value) {
  key = value;
  sessionStorage.setItem("api-key", value);
}

/** `fetch`, with an error that a person understands if there is no answer. */
async function send(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    throw readable(error);
  }
}

/** The error to show for one of the browser, which only says that the network failed. */
function readable(error) {
  return error instanceof TypeError ? new Error("The connection to the server was lost.") : error;
}

function headers() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function refusal(response) {
  if (response.status === 401) return new NeedsKey();
  try {
    const { code, message } = (await response.json()).error;
    return code === "password_required" ? new NeedsPassword(message) : new Error(message);
  } catch {
    return new Error(`the server answers ${response.status}`);
  }
}

/** Modes, the default one, tasks that were learnt, and the model's name; null while the model is being loaded. */
export async function modes() {
  const response = await fetch("v1/modes", { headers: headers() });
  if (response.status === 503) return null;
  if (!response.ok) throw await refusal(response);
  return response.json();
}

function upload(files, options) {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name || "pasted.png");
  for (const [name, value] of Object.entries(options)) form.append(name, value);
  return form;
}

/** Upload files and yield what the server tells, event by event. */
export async function* read(files, options, signal) {
  const form = upload(files, { ...options, stream: "text", preview: "true" });
  const response = await send("v1/read", { method: "POST", body: form, headers: headers(), signal });
  if (!response.ok) throw await refusal(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error) => Promise.reject(readable(error)));
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

/** A searchable PDF of files whose pages have been read already: `results` are those pages. */
export async function searchablePdf(files, password, results) {
  const known = new Blob([JSON.stringify({ pages: results })], { type: "application/json" });
  const form = upload(files, { password, format: "pdf", results: known });
  const response = await send("v1/read", { method: "POST", body: form, headers: headers() });
  if (!response.ok) throw await refusal(response);
  return response.blob();
}
