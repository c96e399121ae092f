// The pages of what is being read: their pictures, text as it grows, and what is known in the end.

export const REASONS = {
  end: "read to the end",
  loop: "stopped: the model began to repeat itself",
  length: "cut at the token limit",
  context: "cut where the model's context ended",
  time: "cut when the time was over",
  cancelled: "cancelled",
};

export class Page {
  constructor(event) {
    this.document = event.document;
    this.number = event.page;
    this.name = event.name;
    this.preview = event.preview ?? "";
    this.views = []; // text of each view so far
    this.result = null;
  }

  grow(event) {
    this.views[event.view] = (this.views[event.view] ?? "") + event.text;
  }

  get text() {
    if (this.result) return this.result.text ?? "";
    return this.views.filter((text) => text !== undefined).join("\n");
  }

  get failed() {
    return ["failed", "skipped"].includes(this.result?.status);
  }

  /** Lines of the text, with a box and a probability where they are known. */
  get lines() {
    const texts = this.text.split("\n");
    const known = (this.result?.lines ?? []).filter((line) => line.text.trim());
    const blocks = this.result?.blocks ?? [];
    let next = 0;
    return texts.map((text) => {
      const line = known[next];
      if (text.trim() && line && line.text.trim() === text.trim()) {
        next += 1;
        return { text, box: line.box, sure: line.mean_probability };
      }
      const block = blocks.find((one) => text.trim() && (one.text.includes(text.trim()) || one.label === text.trim()));
      return { text, box: block?.boxes[0] ?? null, sure: null };
    });
  }

  get figures() {
    const page = this.result;
    if (!page || this.failed) return "";
    if (page.text_source === "text-layer") return "the text that the PDF itself contains";
    const speed = page.seconds > 0 ? `${Math.round(page.tokens / page.seconds)} tokens/s` : "";
    return [
      `${page.vision_tokens} vision tokens`,
      `${page.tokens} tokens`,
      `${page.seconds.toFixed(1)} s`,
      speed,
      `mode ${page.mode}`,
      page.turned ? `read turned by ${page.turned}°` : "",
      REASONS[page.stopped] ?? page.stopped,
    ].filter(Boolean).join("  ·  ");
  }

  /** What a reader should know before trusting the text. */
  get note() {
    const page = this.result;
    if (!page) return "";
    if (this.failed) return page.error;
    if (page.status === "looped") return "The model began to repeat itself. The text before that is kept; more may stand on the page.";
    if (page.status === "cut") return `The text is incomplete, ${REASONS[page.stopped] ?? page.stopped}.`;
    if (page.readable === false) return "Probably not readable: other letters than the model knows, or no print. The text may be invented.";
    if (page.notes?.length) return `${page.notes.join("; ")}.`;
    if (page.unclear) return `${page.unclear === 1 ? "One piece of a line was" : `${page.unclear} pieces of lines were`} too unclear to read and left out.`;
    if (page.ink === "missing") return "The page has more ink than this text accounts for: something may be unread.";
    if (page.ink === "invented") return "There is more text than ink on the page: some of it may be invented.";
    if (page.mean_probability < 0.6) return "The model was unsure: check this text against the picture.";
    return "";
  }
}

/** All pages in the format that a person downloads. */
export function exported(pages, format) {
  if (format === "json") {
    const results = pages.map((page) => ({ name: page.name, page: page.number, ...(page.result ?? { text: page.text }) }));
    return JSON.stringify({ pages: results.map(({ event, ...rest }) => rest) }, null, 2);
  }
  const between = format === "md" ? "\n\n---\n\n" : "\n\n\f";
  const text = (page) => (format === "md" ? page.result?.markdown : null) ?? page.text;
  return pages.map(text).join(between) + "\n";
}
