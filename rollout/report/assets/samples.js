// The sample browser: search, filters, order and pages; keys and links to rows.

const PAGE_SIZES = [5, 10, 25, 50];
const NO_FILTER = { query: "", finish: "", verdict: "any", rows: "", low: null, high: null, lowScore: null, highScore: null, order: "row" };

/** Start every sample browser of the page. */
function startSamples(browsers) {
  const views = [...document.querySelectorAll("[data-browser]")].map((place, i) => sampleView(browsers[i], place));
  if (!views.length) return;
  const openLinked = () => {
    const number = /^#row=(\d+)$/.exec(location.hash)?.[1];
    if (number !== undefined && !views.some((view) => view.open(Number(number)))) toast(`row ${number} is not on this page`);
  };
  addEventListener("hashchange", openLinked);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#row=']");
    if (link && link.getAttribute("href") === location.hash) openLinked();
  });
  document.addEventListener("keydown", (event) => pressed(event, views));
  openLinked();
}

function pressed(event, views) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest?.("input, select, textarea, [tabindex='0']")) return;
  const view = views.find((one) => one.isInView()) ?? views[0];
  if (event.key === "/") {
    event.preventDefault();
    view.search.focus();
  } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    if (view.isInView()) view.turn(event.key === "ArrowRight" ? 1 : -1);
  }
}

function sampleView(browser, place) {
  browser.sources ??= [""];
  const facts = withFacts(browser);
  const view = { facts, filter: { ...NO_FILTER }, pattern: null, rows: facts.prompts, first: 0, size: 10 };
  const list = element("div", { class: "list" });
  const pagers = [pagerOf(view), pagerOf(view)];
  const controls = controlsOf(view);
  view.search = controls.search;
  view.draw = () => {
    const shown = view.rows.slice(view.first, view.first + view.size);
    fill(list, ...shown.map((row) => promptElement(row, browser, view)));
    if (!shown.length) list.append(element("p", { class: "empty" }, "no row matches"));
    pagers.forEach((pager) => pager.show());
  };
  view.select = () => {
    view.pattern = patternOf(view.filter.query);
    view.rows = selectRows(facts, view.filter);
    view.first = 0;
    view.draw();
  };
  view.turn = (by) => {
    const next = view.first + by * view.size;
    if (next < 0 || next >= view.rows.length) return;
    view.first = next;
    view.draw();
    pagers[0].place.scrollIntoView({ block: "start", behavior: "instant" });
  };
  view.open = (number) => openRow(view, controls, list, number);
  view.isInView = () => {
    const box = place.getBoundingClientRect();
    return box.top < innerHeight && box.bottom > 0;
  };
  controls.wrap.addEventListener("change", () => place.classList.toggle("no-wrap", !controls.wrap.checked));
  place.append(controls.place, pagers[0].place, list, pagers[1].place);
  const note = noteOf(browser);
  if (note) place.prepend(element("p", { class: "note" }, note));
  view.select();
  return view;
}

function noteOf(browser) {
  const shown = browser.prompts.length;
  const total = browser.num_rows ?? 0;
  const part = total > shown ? `${shown.toLocaleString("en-US")} of ${count(total, "row")} are on this page. ` : "";
  return printable(part + (browser.note ?? ""));
}

/** Show a row on its page, without filters if they hide it; return whether it is here. */
function openRow(view, controls, list, number) {
  const isIt = (row) => row.prompt.number === number;
  if (!view.facts.prompts.some(isIt)) return false;
  if (!view.rows.some(isIt)) controls.clear();
  const index = view.rows.findIndex(isIt);
  view.first = index - (index % view.size);
  view.draw();
  const found = list.querySelector(`[data-row="${number}"]`);
  found.classList.add("linked");
  found.scrollIntoView({ block: "start", behavior: "instant" });
  return true;
}

function controlsOf(view) {
  const { filter, facts } = view;
  const set = (name) => (event) => {
    filter[name] = event.target.value;
    view.select();
  };
  const setLimit = (name) => debounced((event) => {
    filter[name] = event.target.value === "" ? null : Number(event.target.value);
    view.select();
  }, 200);
  const searchNow = debounced((event) => set("query")(event), 150);
  const search = element("input", { type: "search", placeholder: "Search prompts and responses   /",
    "aria-label": "Search prompts and responses", input: searchNow, spellcheck: "false", autocomplete: "off" });
  const wrap = element("input", { type: "checkbox", checked: true });
  const clear = () => {
    Object.assign(filter, NO_FILTER);
    for (const field of place.querySelectorAll("input[type='search'], input[type='number']")) field.value = "";
    for (const select of place.querySelectorAll("select")) select.selectedIndex = 0;
    view.select();
  };
  const place = element("div", { class: "controls", role: "search", "aria-label": "Samples" },
    search,
    selectOf("finish reason", [["", "any finish"], ...countedOptions(facts.finishes, finishName)], set("finish"), facts.finishes.length > 1),
    selectOf("verdict", [["any", "any verdict"], ...countedOptions(facts.verdicts, verdictName)], set("verdict"), facts.verdicts.length > 1),
    selectOf("rows", rowOptions(facts), set("rows"), rowOptions(facts).length > 1),
    limitsOf(facts.unit, setLimit("low"), setLimit("high"), { min: "0", step: "1" }),
    facts.hasScores && limitsOf("score", setLimit("lowScore"), setLimit("highScore"), { step: "any" }),
    selectOf("order", orderOptions(facts), set("order"), true),
    element("label", { class: "check" }, wrap, "wrap"),
    button("Clear", "clear", clear));
  return { place, search, wrap, clear };
}

function finishName(finish) {
  return finish in FINISH_NAMES ? `${FINISH_NAMES[finish]} (${finish})` : finish;
}

function verdictName(verdict) {
  return verdict === "" ? "not scored" : VERDICT_NAMES[verdict] ?? verdict;
}

function countedOptions(counts, nameOf) {
  return counts.map(([value, number]) => [value, `${printable(nameOf(value))}: ${number.toLocaleString("en-US")}`]);
}

function rowOptions(facts) {
  const entries = Object.entries(ROW_FILTERS).map(([value, [name, isWanted]]) => [value, name, facts.prompts.filter(isWanted).length]);
  return entries.filter(([value, , number]) => value === "" || number).map(([value, name, number]) => [value, `${name}: ${number.toLocaleString("en-US")}`]);
}

function orderOptions(facts) {
  const needs = { hard: "passRate", easy: "passRate", failed: "isFailed" };
  const isUseful = (order) => !(order in needs) || facts.prompts.some((row) => row[needs[order]] !== null && row[needs[order]] !== false);
  return Object.entries(ORDERS).filter(([order]) => isUseful(order)).map(([order, [name]]) => [order, `order: ${name}`]);
}

function selectOf(name, options, onChange, isUseful) {
  return isUseful && element("select", { "aria-label": name, change: onChange },
    ...options.map(([value, text]) => element("option", { value }, text)));
}

function limitsOf(name, onLow, onHigh, numbers) {
  const input = (edge, onInput) => element("input", { type: "number", ...numbers, placeholder: edge, "aria-label": `${edge} ${name}`, input: onInput });
  return element("span", { class: "limits" }, input("least", onLow), "to", input("most", onHigh), name);
}

function pagerOf(view) {
  const status = element("span", { class: "soft", role: "status" });
  const before = button("‹ Previous", "page", () => view.turn(-1));
  const after = button("Next ›", "page", () => view.turn(1));
  const sizes = element("select", { "aria-label": "rows a page", change: (event) => {
    view.size = Number(event.target.value);
    view.first -= view.first % view.size;
    view.draw();
  } }, ...PAGE_SIZES.map((size) => element("option", { value: size, selected: size === view.size }, `${size} a page`)));
  const show = () => {
    const last = Math.min(view.first + view.size, view.rows.length);
    const total = view.facts.prompts.length;
    const of = view.rows.length === total ? count(total, "row") : `${count(view.rows.length, "row")} found (of ${total.toLocaleString("en-US")})`;
    status.textContent = view.rows.length ? `${(view.first + 1).toLocaleString("en-US")} to ${last.toLocaleString("en-US")} of ${of}` : of;
    before.disabled = view.first === 0;
    after.disabled = last >= view.rows.length;
    sizes.value = String(view.size);
  };
  return { place: element("div", { class: "pager" }, status, before, after, sizes), show };
}
