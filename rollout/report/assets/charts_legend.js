// The legend of a chart with the values at the cursor, the tip of a named point, and a chart's
// values as a table.

/** Return {place, paint, show}: buttons that hide and show series, and where the cursor is. */
function legendOf(state) {
  const { chart } = state;
  const where = element("span", { class: "where" });
  const items = chart.series.map((series, index) => legendItem(state, series, index));
  const place = element("div", { class: "legend" }, ...items.map((item) => item.made), where);
  return {
    place,
    paint: (plotPlace) => items.forEach((item, i) => (item.swatch.style.background = seriesColour(plotPlace, i))),
    show: (index) => {
      where.textContent = index === null ? "" : whereText(chart, index);
      items.forEach((item, i) => (item.at.textContent = index === null ? "" : valueAt(chart, i, index)));
    },
  };
}

function legendItem(state, series, index) {
  const swatch = element("span", { class: "swatch" });
  const at = element("span", { class: "at" });
  const name = element("span", { class: "name", dir: "auto" }, printable(series.name || state.chart.y_label));
  const made = element("button", { type: "button", "aria-pressed": "true" }, swatch, name, at);
  made.addEventListener("click", () => {
    state.toggle(index);
    made.setAttribute("aria-pressed", String(state.visible[index]));
  });
  return { made, swatch, at };
}

function whereText(chart, index) {
  const x = chart.x[index];
  const span = spanAt(chart, x);
  const text = chart.ticks ? chart.ticks[index] ?? "" : valueText(x, chart.x_format);
  return printable(`${chart.x_label}: ${text}${span ? ` · ${span.name}` : ""}`);
}

function valueAt(chart, seriesIndex, index) {
  const series = chart.series[seriesIndex];
  const text = valueText(series.values[index], chart.y_format);
  const hasEnds = hasInterval(series) && series.low[index] !== null && series.high[index] !== null;
  if (!hasEnds) return text;
  return `${text} (${valueText(series.low[index], chart.y_format)} to ${valueText(series.high[index], chart.y_format)})`;
}

function showCursor(plot, state) {
  const { chart, edges } = state;
  const index = plot.cursor.idx;
  const own = index === null || index === undefined ? null : index - edges.before.length;
  const isInside = own !== null && own >= 0 && own < chart.x.length;
  state.legend.show(isInside ? own : null);
  showTip(plot, state, isInside);
}

/** Show the name of the point nearest to the cursor, of series whose points have names. */
function showTip(plot, state, isInside) {
  state.tip?.remove();
  state.tip = undefined;
  const near = isInside && nearestNamed(plot, state);
  if (!near) return;
  const { chart } = state;
  const series = chart.series[near.series];
  const x = chart.ticks ? chart.ticks[near.index] : valueText(chart.x[near.index], chart.x_format);
  const lines = [series.labels[near.index], `${chart.x_label}: ${x}`,
    `${chart.y_label}: ${valueAt(chart, near.series, near.index)}`];
  state.tip = element("div", { class: "tip", dir: "auto" }, printable(lines.join("\n")));
  plot.over.append(state.tip);
  const isRight = near.left > plot.over.clientWidth / 2;
  state.tip.style.left = `${near.left + (isRight ? -12 : 12)}px`;
  state.tip.style.top = `${Math.max(0, near.top - 20)}px`;
  if (isRight) state.tip.style.translate = "-100% 0";
}

function nearestNamed(plot, { chart, visible }) {
  let best = null;
  let least = NEAR_PX;
  chart.series.forEach((series, s) => {
    if (!series.labels || !visible[s]) return;
    chart.x.forEach((x, index) => {
      const value = series.values[index];
      if (value === null || (chart.y_format === LOG && value <= 0)) return;
      const [left, top] = [plot.valToPos(x, "x"), plot.valToPos(value, "y")];
      const distance = Math.hypot(left - plot.cursor.left, top - plot.cursor.top);
      if (distance < least) [least, best] = [distance, { series: s, index, left, top }];
    });
  });
  return best;
}

/** Return a folded table of all values, made when it is opened. */
function valuesTable(chart) {
  const place = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "values" });
  const details = element("details", { class: "values" }, element("summary", {}, "values"), place);
  details.addEventListener("toggle", () => {
    if (!place.firstChild) place.append(madeTable(chart));
  });
  return details;
}

function madeTable(chart) {
  const names = chart.series.map((series) => series.name || chart.y_label);
  const header = [chart.x_label, ...names].map((name) => element("th", { class: "number", scope: "col" }, printable(name)));
  const rows = chart.x.map((x, index) => {
    const first = chart.ticks ? printable(chart.ticks[index] ?? "") : valueText(x, chart.x_format);
    const cells = [first, ...chart.series.map((series, s) => valueAt(chart, s, index))];
    return element("tr", {}, ...cells.map((cell) => element("td", { class: "number" }, cell)));
  });
  return element("table", {}, element("thead", {}, element("tr", {}, ...header)), element("tbody", {}, ...rows));
}
