// A prompt with its responses side by side, as elements.

const VIEW_CHARS = 1400;
const CHUNK_CHARS = 8000;
const MAX_CARDS = 16;
const MARKS = { __proto__: null, right: "✓", wrong: "✗", no_answer: "✗", cut_off: "✗", error: "?", unjudged: "?" };

/** Return a text, cut with a button that shows all of it; found words are marked. */
function longText(text, pattern, limit = VIEW_CHARS) {
  const body = element("div", { class: "body", dir: "auto" });
  if (text === "") return element("div", { class: "body soft" }, "(empty)");
  if (text.length <= limit) return fill(body, ...marked(printable(text), pattern));
  const more = button("", "more", () => show(more.getAttribute("aria-expanded") !== "true"));
  const show = (isWhole) => {
    fill(body, ...(isWhole ? chunksOf(text, pattern) : marked(printable(excerpt(text, pattern, limit)), pattern)));
    more.textContent = isWhole ? "show less" : `show all ${count(text.length, "character")}`;
    more.setAttribute("aria-expanded", String(isWhole));
  };
  show(false);
  return element("div", {}, body, more);
}

/** Return a long text as blocks, of which a browser lays out those in view only. */
function chunksOf(text, pattern) {
  if (text.length <= 2 * CHUNK_CHARS) return marked(printable(text), pattern);
  const chunks = [];
  for (let from = 0; from < text.length; ) {
    const to = chunkEnd(text, from);
    chunks.push(element("div", { class: "chunk" }, ...marked(printable(text.slice(from, to)), pattern)));
    from = to;
  }
  return chunks;
}

/** Return where a chunk ends: after a line, else after a word, else anywhere. */
function chunkEnd(text, from) {
  const furthest = from + CHUNK_CHARS;
  if (furthest >= text.length) return text.length;
  for (const sign of ["\n", " "]) {
    const found = text.lastIndexOf(sign, furthest - 1);
    if (found > from + CHUNK_CHARS / 2) return found + 1;
  }
  return wholeCharacter(text, furthest);
}

/** Return the start of a text, or the stretch around the first place that is looked for. */
function excerpt(text, pattern, limit) {
  let from = 0;
  const found = pattern ? text.search(pattern) : -1;
  if (found > limit - 100) from = wholeCharacter(text, found - 200);
  const end = wholeCharacter(text, Math.min(from + limit, text.length));
  return (from ? "… " : "") + text.slice(from, end) + (end < text.length ? " …" : "");
}

/** Return an index that does not cut a surrogate pair in two. */
function wholeCharacter(text, index) {
  const code = text.charCodeAt(index);
  return code >= 0xdc00 && code <= 0xdfff ? index - 1 : index;
}

/** Return text as text nodes and <mark> elements. */
function marked(text, pattern) {
  if (!pattern) return [text];
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(pattern)) {
    parts.push(text.slice(end, found.index), element("mark", {}, found[0]));
    end = found.index + found[0].length;
  }
  return [...parts, text.slice(end)].filter((part) => part !== "");
}

/** Return a row's element: the prompt, then its responses by source. */
function promptElement(row, browser, view) {
  const { prompt } = row;
  const made = element("article", { class: "prompt", "data-row": prompt.number, "aria-label": `Row ${prompt.number}` },
    promptHead(row, view), turnsElement(prompt.messages, view.pattern));
  const isSweep = browser.sources.length > 1;
  made.append(isSweep ? sourceColumns(row, browser, view) : sampleCards(row, view));
  return made;
}

function promptHead(row, view) {
  const { prompt } = row;
  const facts = [];
  if (row.numJudged) facts.push(`${row.numRight} of ${row.numJudged} right`);
  if (row.meanLength !== null) facts.push(`mean ${count(Math.round(row.meanLength), view.facts.unit.slice(0, -1))}`);
  if (prompt.num_prompt_tokens != null) facts.push(`prompt ${count(prompt.num_prompt_tokens, "token")}`);
  return element("div", { class: "prompt-head" },
    element("a", { class: "permalink", href: `#row=${prompt.number}`, title: "link to this row" }, `row ${prompt.number}`),
    row.isFailed && element("span", { class: "badge bad" }, "failed"),
    element("span", { class: "soft" }, facts.join(" · ")),
    prompt.reference != null && element("span", { class: "reference" }, "reference ", answer(prompt.reference, view.pattern)),
    copyButton(() => prompt.messages.map(([, text]) => text).join("\n\n"), `the prompt of row ${prompt.number}`, prompt.is_cut));
}

function answer(text, pattern) {
  const short = text.length > 120 ? text.slice(0, wholeCharacter(text, 120)) + "…" : text;
  return element("code", { dir: "auto" }, ...marked(printable(short), pattern));
}

/** Return the turns: from the last of the user on open, those before it folded. */
function turnsElement(messages, pattern) {
  const lastUser = messages.map(([role]) => role).lastIndexOf("user");
  const open = lastUser >= 0 ? lastUser : messages.length - 1;
  const earlier = messages.slice(0, Math.max(open, 0));
  const turns = element("div", { class: "turns" });
  if (earlier.length) {
    const roles = [...new Set(earlier.map(([role]) => printable(role || "text")))].join(", ");
    const isFound = pattern !== null && earlier.some(([, text]) => finds(pattern, text));
    turns.append(element("details", { open: isFound },
      element("summary", {}, `${count(earlier.length, "earlier turn")}: ${roles}`),
      ...earlier.map((message) => turnElement(message, pattern))));
  }
  turns.append(...messages.slice(Math.max(open, 0)).map((message) => turnElement(message, pattern)));
  return turns;
}

function turnElement([role, text], pattern) {
  return element("div", { class: "turn" },
    role !== "" && element("span", { class: "role", dir: "auto" }, printable(role)), longText(text, pattern));
}

function sampleCards(row, view) {
  const samples = row.prompt.samples[0];
  const error = row.prompt.errors?.[0];
  const place = element("div", { class: "cards", tabindex: "0", role: "group", "aria-label": "responses" });
  if (error != null) place.append(errorCard(error, view.pattern));
  if (!samples?.length) return error == null ? fill(place, element("p", { class: "empty" }, "no responses")) : place;
  const cards = (from, to) => samples.slice(from, to).map((sample, i) => sampleCard(sample, from + i, row, view));
  place.append(...cards(0, MAX_CARDS));
  if (samples.length > MAX_CARDS) {
    const more = button(`show ${samples.length - MAX_CARDS} more`, "more", () => more.replaceWith(...cards(MAX_CARDS)));
    place.append(more);
  }
  const isLimited = view.pattern !== null || limitsSamples(view.filter);
  const hit = isLimited ? place.querySelector("[data-sample]:not(.dim)") : null;
  if (hit) requestAnimationFrame(() => { place.scrollLeft = hit.offsetLeft - place.offsetLeft; });
  return place;
}

function errorCard(error, pattern) {
  return element("div", { class: "sample error" },
    element("div", { class: "sample-head" }, element("span", { class: "badge bad" }, "failed")), longText(error, pattern));
}

function sampleCard(sample, index, row, view, extra = []) {
  const { pattern } = view;
  const isDim = isDimmed(sample, row, view.filter, pattern, view.facts);
  const card = element("div", { class: `sample ${isDim ? "dim" : ""}`, "data-sample": index },
    sampleHead(sample, index, extra), judgement(sample, row.prompt, pattern));
  if (sample.reasoning != null && sample.reasoning !== "") {
    const isFound = pattern !== null && finds(pattern, sample.reasoning);
    card.append(element("details", { class: "reasoning", open: isFound },
      element("summary", {}, `reasoning, ${count(sample.reasoning.length, "character")}`), longText(sample.reasoning, pattern)));
  }
  card.append(longText(sample.text, pattern));
  return card;
}

function sampleHead(sample, index, extra) {
  const mark = MARKS[sample.verdict];
  const name = VERDICT_NAMES[sample.verdict] ?? "";
  const isSaid = sample.verdict === "cut_off" && sample.extracted == null; // in its judgement
  const finish = isSaid && sample.finish_reason === "length" ? null : sample.finish_reason;
  return element("div", { class: "sample-head" },
    ...extra,
    element("span", { class: "index" }, `#${index}`),
    mark !== undefined && element("span", { class: `mark ${sample.verdict}`, role: "img", "aria-label": name, title: name }, mark),
    sample.num_tokens != null && element("span", { class: "soft" }, count(sample.num_tokens, "token")),
    sample.score != null && !JUDGED.has(sample.verdict) && element("span", { class: "soft" }, `score ${numberText(sample.score)}`),
    finish != null && element("span", { class: `badge ${finish === "length" ? "warning" : ""}` }, printable(FINISH_NAMES[finish] ?? finish)),
    copyButton(() => sample.text, `response ${index}`, sample.is_cut));
}

/** Return the extracted answer, and why a sample was not judged. */
function judgement(sample, prompt, pattern) {
  const parts = [];
  const isUnanswered = sample.verdict === "no_answer" || sample.verdict === "cut_off";
  if (sample.extracted != null) parts.push("answer ", answer(sample.extracted, pattern));
  else if (isUnanswered && sample.error == null) parts.push(VERDICT_NAMES[sample.verdict]);
  const hasReference = prompt.reference != null && sample.verdict !== "right" && (parts.length > 0 || isUnanswered);
  const reason = sample.error != null && answer(sample.error, pattern);
  if (reason && !parts.length) parts.push(reason);
  if (hasReference) parts.push(" · reference ", answer(prompt.reference, pattern));
  if (reason && !parts.includes(reason)) parts.push(" · ", reason);
  return parts.length > 0 && element("div", { class: "judgement" }, ...parts);
}

/** Return a column per source, each with one sample and arrows to step through the others. */
function sourceColumns(row, browser, view) {
  const place = element("div", { class: "cards sources", tabindex: "0", role: "group", "aria-label": "responses by point" });
  browser.sources.forEach((source, s) => {
    const samples = row.prompt.samples[s];
    const error = row.prompt.errors?.[s];
    const name = element("div", { class: "source", dir: "auto" }, printable(source), sourceRate(samples, view));
    const column = element("div", { class: "column" }, name);
    const asked = row.prompt.others?.[s];
    if (asked) column.append(element("details", { class: "asked", open: true }, element("summary", {}, "asked here"), turnsElement(asked, view.pattern)));
    if (error != null) column.append(errorCard(error, view.pattern));
    else if (!samples) column.append(element("p", { class: "empty" }, "this row is not here"));
    else if (!samples.length) column.append(element("p", { class: "empty" }, "no responses"));
    if (samples?.length) column.append(steppedCard(samples, row, view));
    place.append(column);
  });
  return place;
}

function sourceRate(samples, view) {
  const judged = (samples ?? []).filter(view.facts.isJudged);
  const right = judged.filter((sample) => sample.verdict === "right").length;
  return judged.length > 0 && element("span", { class: "soft" }, ` ${right} of ${judged.length} right`);
}

function steppedCard(samples, row, view) {
  const found = samples.findIndex((sample) => !isDimmed(sample, row, view.filter, view.pattern, view.facts));
  const cardAt = (index) => {
    const step = (by, sign, name) => button(sign, "step", () => {
      const next = cardAt(index + by);
      card.replaceWith(next);
      (next.querySelector(`[aria-label="${name}"]:not([disabled])`) ?? next.querySelector(".step:not([disabled])"))?.focus();
    }, { "aria-label": name, disabled: index + by < 0 || index + by >= samples.length });
    const arrows = samples.length > 1 ? [step(-1, "‹", "previous sample"), step(1, "›", "next sample")] : [];
    const card = sampleCard(samples[index], index, row, view, arrows);
    return card;
  };
  return cardAt(Math.max(found, 0));
}
