// The page: files come in, pages and their text appear.

import { modes, NeedsKey, NeedsPassword, read, searchablePdf, setKey } from "./api.js";
import { exported, Page } from "./pages.js";

const $ = (id) => document.getElementById(id);
let pages = [];
let given = { files: [], password: "" }; // what the pages are of
let current = 0;
let follow = true; // show the page that is being read, until one is chosen
let running = null; // AbortController of what is being read

function show(error) {
  $("error-text").textContent = error.message ?? String(error);
  $("error").hidden = false;
}

/** What a person types into the dialog; empty when they do not want to. */
async function ask(title, label) {
  $("ask-title").textContent = title;
  $("ask-label").textContent = label;
  $("ask-value").value = "";
  const dialog = $("ask");
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  return dialog.returnValue === "ok" ? $("ask-value").value : "";
}

async function askKey() {
  const key = await ask("This server needs a key", "API key");
  if (key) setKey(key);
  return Boolean(key);
}

/** The menu's tasks without those that the model never learnt; a menu of one choice is not shown. */
function offerTasks(learnt) {
  for (const option of [...$("task").options]) if (!learnt.includes(option.value)) option.remove();
  for (const menu of [$("task"), $("mode")]) menu.parentElement.hidden = menu.options.length < 2;
}

async function connect() {
  try {
    const found = await modes();
    if (!found) return setTimeout(connect, 700);
    $("model").textContent = found.model;
    $("model").classList.add("ready");
    const names = found.modes.map((name) => new Option(name === found.default ? `${name} (default)` : name, name));
    $("mode").replaceChildren(...names);
    $("mode").value = found.default;
    offerTasks(found.tasks);
  } catch (error) {
    if (error instanceof NeedsKey) return (await askKey()) && connect();
    $("model").textContent = "no connection";
    setTimeout(connect, 3000);
  }
}

// ---- reading

async function start(files, password = "") {
  files = [...files];
  if (!files.length) return;
  running?.abort();
  const mine = (running = new AbortController());
  pages = [];
  given = { files, password };
  current = 0;
  follow = true;
  $("error").hidden = true;
  $("start").hidden = true;
  $("work").hidden = false;
  $("state").textContent = "Uploading";
  draw();
  $("main").focus({ preventScroll: true });
  try {
    for await (const event of read(files, { task: $("task").value, mode: $("mode").value, password }, mine.signal)) take(event);
    finish(pages.some((page) => page.failed) ? "Read, but not every page" : "Read");
  } catch (error) {
    if (mine.signal.aborted) return mine === running && finish("Cancelled");
    if (error instanceof NeedsKey) return (await askKey()) ? start(files) : reset();
    if (error instanceof NeedsPassword) {
      const locked = files.find((file) => error.message.startsWith(`${file.name}: `));
      const label = locked ? `Password of ${locked.name}` : "Its password";
      const given = await ask(password ? "That password is not right" : "This PDF is locked", label);
      const others = locked ? files.filter((file) => file !== locked) : []; // read without it
      return given ? start(files, given) : others.length ? start(others, password) : reset();
    }
    if (!pages.some((page) => page.failed && page.note === error.message)) show(error); // said beside its page already
    pages.length ? finish("Stopped") : reset();
  }
}

function take(event) {
  if (event.event === "begin") {
    pages.push(new Page(event));
    if (follow) current = pages.length - 1;
    $("state").textContent = event.pages > 1 ? `Reading page ${pages.length} of ${event.pages}` : "Reading";
    draw();
  } else if (event.event === "text") {
    const page = pages.at(-1);
    page.grow(event);
    if (page === pages[current]) drawText(page);
  } else if (event.event === "page") {
    const last = pages.at(-1);
    if (last?.document !== event.document || last.number !== event.page) pages.push(new Page(event)); // it never began
    pages.at(-1).result = event;
    draw();
  } else if (event.event === "error") {
    throw new Error(event.message);
  }
}

function finish(words) {
  running = null;
  $("state").textContent = words;
  draw();
}

function reset() {
  running?.abort();
  running = null;
  pages = [];
  $("work").hidden = true;
  $("start").hidden = false;
  $("choose").focus();
}

// ---- drawing

function draw() {
  const page = pages[current];
  $("cancel").hidden = !running;
  $("again").hidden = Boolean(running);
  $("copy").disabled = $("download").disabled = !pages.some((one) => one.text);
  $("download").querySelector("[value=pdf]").disabled = Boolean(running); // it is of all pages
  $("sheet").classList.toggle("reading", Boolean(running && page && !page.result));
  drawThumbnails();
  if (!page) {
    $("image").removeAttribute("src");
    $("image").hidden = true;
    $("boxes").replaceChildren();
    $("text").replaceChildren();
    $("text").dataset.empty = "";
    $("figures").textContent = "";
    $("note").hidden = true;
    return;
  }
  if ($("image").getAttribute("src") !== page.preview) $("image").src = page.preview;
  $("image").hidden = !page.preview;
  $("image").alt = `${page.name}, page ${page.number}`;
  drawText(page);
  $("figures").textContent = page.figures;
  $("note").textContent = page.note;
  $("note").hidden = !page.note;
}

function drawThumbnails() {
  $("pages").hidden = pages.length < 2;
  pages.forEach((page, i) => {
    let button = $("pages").children[i];
    if (!button) {
      button = document.createElement("button");
      const image = document.createElement("img");
      image.src = page.preview;
      image.alt = "";
      button.append(image, String(i + 1));
      button.setAttribute("aria-label", `Page ${i + 1}, ${page.name}`);
      button.addEventListener("click", () => choose(i));
      $("pages").append(button);
    }
    button.classList.toggle("failed", page.failed);
    i === current ? button.setAttribute("aria-current", "page") : button.removeAttribute("aria-current");
  });
  while ($("pages").children.length > pages.length) $("pages").lastChild.remove();
}

function drawText(page) {
  const growing = Boolean(running && !page.result);
  const text = $("text");
  text.classList.toggle("growing", growing);
  text.dataset.empty = page.result && !page.failed ? "No text was found." : "";
  if (!page.text) return void (text.replaceChildren(), $("boxes").replaceChildren());
  const lines = page.lines;
  text.replaceChildren(...lines.map((line, i) => {
    const element = document.createElement("span");
    element.className = "line";
    element.textContent = line.text;
    element.dataset.line = i;
    element.classList.toggle("unsure", line.sure !== null && line.sure < 0.5);
    if (line.box) {
      element.classList.add("placed");
      element.tabIndex = 0;
    }
    return element;
  }));
  drawBoxes(page, lines);
  if (growing) text.scrollTop = text.scrollHeight;
}

function drawBoxes(page, lines) {
  const { width, height } = page.result ?? {};
  $("boxes").replaceChildren();
  if (!width) return;
  $("boxes").setAttribute("viewBox", `0 0 ${width} ${height}`);
  $("boxes").setAttribute("preserveAspectRatio", "none");
  lines.forEach((line, i) => {
    if (!line.box) return;
    const [left, top, right, bottom] = line.box;
    const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top, rx: 3 })) {
      box.setAttribute(name, value);
    }
    box.dataset.line = i;
    $("boxes").append(box);
  });
}

function point(target) {
  const line = target?.dataset?.line;
  for (const one of document.querySelectorAll("[data-line]")) one.classList.toggle("on", line !== undefined && one.dataset.line === line);
  if (line === undefined) return;
  const other = target.closest("#text") ? $("boxes") : $("text");
  other.querySelector(`[data-line="${line}"]`)?.scrollIntoView({ block: "nearest" });
}

function choose(i) {
  if (i < 0 || i >= pages.length) return;
  current = i;
  follow = false;
  draw();
}

// ---- downloads

const KINDS = { txt: "text/plain", md: "text/markdown", json: "application/json" };

async function makePdf() {
  const [words, of] = [$("state").textContent, pages];
  $("state").textContent = "Making the PDF";
  try {
    return await searchablePdf(given.files, given.password, pages.map((page) => page.result).filter(Boolean));
  } finally {
    if (of === pages) $("state").textContent = words;
  }
}

function save(blob, format) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  const named = pages.find((page) => page.text) ?? pages[0];
  const more = new Set(pages.filter((page) => page.text).map((page) => page.document)).size - 1;
  link.download = `${(named?.name ?? "text").replace(/\.[^.]*$/, "")}${more > 0 ? ` and ${more} more` : ""}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// ---- what a person does

$("choose").addEventListener("click", () => $("files").click());
$("camera").addEventListener("click", () => $("photo").click());
for (const input of [$("files"), $("photo")]) {
  input.addEventListener("change", () => {
    start(input.files);
    input.value = "";
  });
}
$("sample").addEventListener("click", async () => {
  const picture = await (await fetch("sample.png")).blob();
  start([new File([picture], "sample.png", { type: "image/png" })]);
});
$("cancel").addEventListener("click", () => running?.abort());
$("again").addEventListener("click", reset);
$("dismiss").addEventListener("click", () => ($("error").hidden = true));
$("ask-cancel").addEventListener("click", () => $("ask").close());
$("options").addEventListener("submit", (event) => event.preventDefault());
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(pages.map((page) => page.text).join("\n\n"));
    $("copy").textContent = "Copied";
    setTimeout(() => ($("copy").textContent = "Copy"), 1500);
  } catch {
    show(new Error("The browser does not allow copying here: select the text instead."));
  }
});
$("download").addEventListener("change", async () => {
  const format = $("download").value;
  $("download").value = "";
  if (!format) return;
  try {
    save(format === "pdf" ? await makePdf() : new Blob([exported(pages, format)], { type: KINDS[format] }), format);
  } catch (error) {
    show(error instanceof NeedsKey ? new Error("The server asks for its key again: reload this page.") : error);
  }
});
for (const area of [$("text"), $("boxes")]) {
  area.addEventListener("pointerover", (event) => point(event.target.closest("[data-line]")));
  area.addEventListener("pointerleave", () => point(null));
}
$("text").addEventListener("focusin", (event) => point(event.target.closest("[data-line]")));
addEventListener("keydown", (event) => {
  if (event.target.closest("select, input, dialog")) return;
  if (event.key === "Escape") running?.abort();
  if (event.key === "PageDown" && pages.length > 1) (event.preventDefault(), choose(current + 1));
  if (event.key === "PageUp" && pages.length > 1) (event.preventDefault(), choose(current - 1));
});
addEventListener("paste", (event) => start(event.clipboardData.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  start(event.dataTransfer.files);
});

connect();
