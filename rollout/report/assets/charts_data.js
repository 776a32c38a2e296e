// Data of charts as uPlot draws them: stacked bars, ends of intervals, values that a log axis has.

const LOG = "log";

function kindOf(series) {
  return series.kind ?? "line";
}

/** Return what is drawn, first things first: {role, index} with role bar, low, high or line. */
function layersOf(chart) {
  const layers = [];
  const bars = chart.series.map((s, index) => index).filter((i) => kindOf(chart.series[i]) === "bars");
  for (const index of bars.reverse()) layers.push({ role: "bar", index });
  chart.series.forEach((series, index) => {
    if (kindOf(series) === "bars") return;
    if (hasBand(series)) layers.push({ role: "high", index }, { role: "low", index });
    layers.push({ role: "line", index });
  });
  return layers;
}

function hasInterval(series) {
  return Boolean(series.low && series.high);
}

/** Whether the interval is a band; bars, points and a single value have whiskers. */
function hasBand(series) {
  const isLine = kindOf(series) === "line" || kindOf(series) === "steps";
  return isLine && hasInterval(series) && series.values.filter((value) => value !== null).length > 1;
}

/** Return x as drawn: with a margin around bars and texts, and as far as the spans go. */
function edgesOf(chart) {
  const x = chart.x;
  const [first, last] = [x[0], x[x.length - 1]];
  let [low, high] = [first, last];
  if (chart.x_format !== LOG) {
    const isWide = chart.ticks || chart.series.some((series) => kindOf(series) === "bars");
    const hasPoints = chart.series.some((series) => kindOf(series) === "points");
    const margin = isWide ? smallestGap(x) / 2 : hasPoints ? (last - first || Math.abs(first) || 1) * 0.04 : 0;
    [low, high] = [first - margin, last + margin];
  }
  for (const span of chart.spans ?? []) {
    low = Math.min(low, span.start);
    high = Math.max(high, span.end);
  }
  return { before: low < first ? [low] : [], after: high > last ? [high] : [] };
}

function smallestGap(x) {
  let gap = Infinity;
  for (let i = 1; i < x.length; i++) if (x[i] > x[i - 1]) gap = Math.min(gap, x[i] - x[i - 1]);
  return gap === Infinity ? 1 : gap;
}

/** Return uPlot's data: x, then the values of each layer; hidden series have none. */
function plotData(chart, layers, visible, edges) {
  const widen = (values) => [...edges.before.map(() => undefined), ...values, ...edges.after.map(() => undefined)];
  const tops = stackedTops(chart, visible);
  const rows = layers.map(({ role, index }) => {
    const series = chart.series[index];
    const values = { bar: tops.get(index), low: series.low, high: series.high, line: series.values }[role];
    return widen(visible[index] ? drawable(values, chart) : values.map(() => null));
  });
  return [[...edges.before, ...chart.x, ...edges.after], ...rows];
}

/** Return the upper ends of stacked bars by series. */
function stackedTops(chart, visible) {
  const tops = new Map();
  const sums = chart.x.map(() => 0);
  chart.series.forEach((series, index) => {
    if (kindOf(series) !== "bars") return;
    tops.set(index, series.values.map((value, i) => {
      if (value === null || !visible[index]) return null;
      return (sums[i] += value);
    }));
  });
  return tops;
}

/** Return the whiskers of each visible series that has some: {index, isBar, ends: [{x, low, high}]}. */
function whiskersOf(chart, visible) {
  const tops = stackedTops(chart, visible);
  return chart.series.flatMap((series, index) => {
    if (!visible[index] || !hasInterval(series) || hasBand(series)) return [];
    const shift = tops.get(index);
    const ends = chart.x.map((x, i) => {
      const base = shift ? shift[i] - series.values[i] : 0;
      const isKnown = ![series.low[i], series.high[i], series.values[i]].includes(null);
      return isKnown && { x, low: series.low[i] + base, high: series.high[i] + base };
    });
    return [{ index, isBar: shift !== undefined, ends: ends.filter(Boolean) }];
  });
}

/** Return a range of y that also holds the ends of whiskers; [null, null] if nothing is shown. */
function withWhiskers({ chart, visible }, low, high) {
  if (low === null) return [low, high];
  const ends = whiskersOf(chart, visible).flatMap((found) => found.ends.flatMap((end) => [end.low, end.high]));
  const found = drawable(ends, chart).filter((value) => value !== null);
  return [Math.min(low, ...found), Math.max(high, ...found)];
}

/** Return values without those that a logarithmic axis has no place for. */
function drawable(values, chart) {
  return chart.y_format === LOG ? values.map((value) => (value > 0 ? value : null)) : values;
}

/** Return how many values a logarithmic axis leaves out. */
function numLeftOut(chart) {
  if (chart.y_format !== LOG) return 0;
  return chart.series.flatMap((series) => series.values).filter((value) => value !== null && value <= 0).length;
}

function isEmpty(chart) {
  return !chart.x.length || !chart.series.some((series) => drawable(series.values, chart).some((v) => v !== null));
}

/** Return the indices of values between two gaps, where no line would show them. */
function lonePoints(values) {
  const has = (i) => values[i] !== null && values[i] !== undefined;
  return values.map((value, i) => i).filter((i) => has(i) && !has(i - 1) && !has(i + 1));
}

function spanAt(chart, x) {
  return (chart.spans ?? []).find((span) => span.start <= x && x < span.end);
}
