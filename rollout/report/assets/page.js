// The page around charts and samples: theme, navigation, sorted tables, copied code, print.

const THEME_KEY = "rollout-report-theme";

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Set the theme that the reader chose before, and let the button switch it. */
function startTheme(onChange) {
  const chosen = remembered(THEME_KEY);
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  const toggle = document.querySelector("button.theme");
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    remember(THEME_KEY, theme);
    onChange();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
}

// A browser may forbid storage to files; the choice then lasts as long as the page.
function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch (forbidden) {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch (forbidden) {
    return;
  }
}

/** Mark the section in view among the links of the bar. */
function startNavigation() {
  const links = new Map();
  for (const link of document.querySelectorAll(".links a")) links.set(link.hash.slice(1), link);
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) seen.add(entry.target.id);
      else seen.delete(entry.target.id);
    }
    const first = [...links.keys()].find((id) => seen.has(id));
    for (const [id, link] of links) {
      if (id === first) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    if (first !== undefined) showLink(links.get(first));
  }, { rootMargin: "-15% 0px -60% 0px" });
  for (const id of links.keys()) observer.observe(document.getElementById(id));
}

/** Scroll the bar, and nothing else, so that a link is in its middle. */
function showLink(link) {
  const bar = link.parentElement;
  bar.scrollTo({ left: link.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2 });
}

/** Let a click on a header sort its table; missing values come last either way. */
function startTables() {
  for (const table of document.querySelectorAll("table.sortable")) {
    table.querySelectorAll("thead th").forEach((header, column) => {
      header.querySelector(".sort").addEventListener("click", () => sortTable(table, header, column));
    });
  }
  for (const row of document.querySelectorAll("tr[data-prompt]")) {
    row.addEventListener("click", (event) => {
      if (event.target.closest("a") === null) location.hash = `row=${row.dataset.prompt}`;
    });
  }
}

function sortTable(table, header, column) {
  const before = header.getAttribute("aria-sort");
  const startsHigh = header.classList.contains("number");
  const isAscending = before ? before === "descending" : !startsHigh;
  const bodies = [...table.tBodies].map((body) => [body, sortKey(body.rows[0].cells[column])]);
  bodies.sort(([, a], [, b]) => compareKeys(a, b, isAscending));
  table.append(...bodies.map(([body]) => body));
  for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
}

function sortKey(cell) {
  if (cell === undefined || cell.dataset.none !== undefined) return null;
  if (cell.dataset.number !== undefined) {
    const number = Number(cell.dataset.number);
    return Number.isNaN(number) ? null : number;
  }
  const text = cell.dataset.text ?? cell.textContent.trim();
  if (!cell.classList.contains("number")) return text;
  const number = parseFloat(text.replace(/,/g, ""));
  return Number.isNaN(number) ? null : number;
}

function compareKeys(a, b, isAscending) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" && typeof b === "number"
    ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true });
  return isAscending ? order : -order;
}

function startCodes(codes) {
  document.querySelectorAll("button[data-code]").forEach((made, index) => {
    made.addEventListener("click", () => copy(codes[index]));
  });
}

/** Print everything folded away, in light colours; put it back afterwards. */
function startPrinting(redraw) {
  let opened = [];
  let theme;
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open]):not(.values)")];
    for (const details of opened) details.open = true;
    theme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    redraw();
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
    if (theme === undefined) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    redraw();
  });
}
