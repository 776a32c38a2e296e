// Charts by uPlot: series, bands and whiskers of intervals, shaded spans, a legend with the values
// at the cursor, and a tip for points with names.

const NUM_COLOURS = 8;
const PHASES = ["load", "fill", "steady", "tail", "publish", "reload", "score"]; // each has a colour, as in images.py
const NUM_OTHERS = 2; // colours of spans with other names
const NEAR_PX = 28;
const MAX_DOTS = 24; // points on a line; with more, only those between gaps
const SECOND_STEPS = [0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
  14400, 21600, 43200, 86400, 172800, 432000, 864000];
const WHOLE_STEPS = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

/** Draw all charts; return a function that draws them anew, in the theme's colours. */
function startCharts(charts) {
  const drawn = [];
  document.querySelectorAll("[data-chart]").forEach((figure, index) => {
    const chart = charts[index];
    const place = figure.querySelector(".plot");
    if (isEmpty(chart)) place.append(element("p", { class: "empty" }, "no data"));
    else drawn.push(startChart(chart, figure, place));
  });
  return () => drawn.forEach((draw) => draw());
}

function startChart(chart, figure, place) {
  const state = { chart, visible: chart.series.map(() => true), layers: layersOf(chart), edges: edgesOf(chart) };
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", `Chart: ${printable(chart.title)}. Its values are in the table below it.`);
  const legend = legendOf(state);
  figure.querySelector(".keys").append(legend.place);
  const left = numLeftOut(chart);
  if (left) place.after(element("p", { class: "note" }, `${count(left, "value")} of 0 or less not drawn: the scale is logarithmic.`));
  figure.append(valuesTable(chart));
  state.legend = legend;
  const draw = () => {
    const scale = state.plot && { min: state.plot.scales.x.min, max: state.plot.scales.x.max };
    if (state.plot) state.plot.destroy();
    state.plot = new uPlot(options(state, place), plotData(chart, state.layers, state.visible, state.edges), place);
    if (scale) state.plot.setScale("x", scale);
    legend.paint(place);
  };
  draw();
  new ResizeObserver(() => {
    if (place.clientWidth && place.clientWidth !== state.plot.width) state.plot.setSize(sizeOf(place, chart));
  }).observe(place);
  state.toggle = (index) => {
    state.visible[index] = !state.visible[index];
    state.plot.setData(plotData(chart, state.layers, state.visible, state.edges), false);
    const { min, max } = state.plot.scales.x;
    state.plot.setScale("x", { min, max });
  };
  return draw;
}

function sizeOf(place, chart) {
  const width = Math.max(place.clientWidth, 120);
  return { width, height: (chart.group ? 190 : 250) + (slantedTicks(chart, width) ? 40 : 0) };
}

function slantedTicks(chart, width) {
  if (!chart.ticks) return false;
  const longest = Math.max(...chart.ticks.map((tick) => tick.length));
  return longest * 7 * chart.ticks.length > width - 60;
}

/** Return the colour of a custom property in the present theme. */
function colour(place, name, alpha = 1) {
  const probe = element("span");
  probe.style.color = alpha === 1 ? `var(${name})` : `color-mix(in srgb, var(${name}) ${100 * alpha}%, transparent)`;
  place.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function seriesColour(place, index, alpha) {
  return colour(place, `--series-${index % NUM_COLOURS}`, alpha);
}

function options(state, place) {
  const { chart, layers } = state;
  return {
    ...sizeOf(place, chart),
    padding: [chart.spans?.length ? 20 : 12, 12, 0, slantedTicks(chart, place.clientWidth) ? 24 : 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: true, y: false },
      points: { size: 7 },
      ...(chart.group ? { sync: { key: `group:${chart.group}`, scales: ["x", null] } } : {}),
    },
    scales: {
      x: { time: false, distr: chart.x_format === LOG ? 3 : 1 },
      y: chart.y_format === LOG ? { distr: 3, range: (plot, low, high) => logRange(state, low, high) } : { range: (plot, low, high) => valueRange(state, low, high) },
    },
    axes: [xAxis(chart, place), yAxis(chart, place)],
    series: [{}, ...layers.map((layer) => seriesOptions(chart, layer, place))],
    bands: bandsOf(chart, layers, place),
    hooks: {
      drawClear: [(plot) => drawSpans(plot, chart, place)],
      draw: [(plot) => drawWhiskers(plot, state, place)],
      setCursor: [(plot) => showCursor(plot, state)],
    },
  };
}

/** Return the range of a logarithmic y, with the ends of whiskers in it. */
function logRange(state, low, high) {
  const [least, most] = withWhiskers(state, low, high);
  return least === null ? [1, 10] : uPlot.rangeLog(least, most, 10, true);
}

/** Return the range of y: from 0 of bars and over time, else where it is near; shares end at 100%. */
function valueRange(state, least, most) {
  const { chart } = state;
  const [low, high] = withWhiskers(state, least, most);
  if (low === null) return [0, 1];
  const isShare = chart.y_format === "percent" && low >= 0 && high <= 1;
  const hard = isShare ? { hard: 1 } : {};
  const fromZero = chart.group || chart.series.some((series) => kindOf(series) === "bars");
  return uPlot.rangeNum(low, high, {
    min: { pad: 0.1, soft: 0, mode: fromZero ? 1 : 3 },
    max: { pad: 0.1, soft: 0, mode: 3, ...hard },
  });
}

function axisLook(place) {
  return {
    stroke: colour(place, "--soft"),
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    grid: { stroke: colour(place, "--line"), width: 1 },
    ticks: { stroke: colour(place, "--line"), width: 1, size: 5 },
  };
}

function xAxis(chart, place) {
  const axis = { ...axisLook(place), label: printable(chart.x_label), labelSize: 18, size: 28 };
  if (!chart.ticks) {
    const steps = chart.x_format === "seconds" ? { incrs: SECOND_STEPS } : {};
    return { ...axis, ...steps, values: (plot, values) => axisTexts(values, chart.x_format) };
  }
  const isSlanted = slantedTicks(chart, place.clientWidth);
  const longest = Math.max(...chart.ticks.map((tick) => Math.min(tick.length, 16)));
  return {
    ...axis,
    grid: { show: false },
    splits: (plot, index, low, high) => tickPlaces(chart, low, high, place.clientWidth, isSlanted),
    values: (plot, values) => values.map((value) => shortened(printable(chart.ticks[value] ?? ""), 16)),
    rotate: isSlanted ? 38 : 0,
    size: isSlanted ? 22 + longest * 4.4 : 28,
  };
}

function shortened(text, size) {
  return text.length > size ? text.slice(0, size - 1) + "…" : text;
}

/** Return the x of the ticks in view, every k-th where they would overlap. */
function tickPlaces(chart, low, high, width, isSlanted) {
  const inView = chart.ticks.map((tick, i) => i).filter((i) => i >= low && i <= high);
  const every = Math.max(1, Math.ceil((inView.length * (isSlanted ? 18 : 10)) / Math.max(width - 60, 60)));
  return inView.filter((i) => i % every === 0);
}

function yAxis(chart, place) {
  const least = chart.group ? 52 : 34; // charts of a group stand below each other
  return {
    ...axisLook(place),
    ticks: { show: false },
    values: (plot, values) => axisTexts(values, chart.y_format),
    size: (plot, values) => (values ? Math.max(least, 14 + 7 * Math.max(...values.map((text) => text.length))) : least),
    ...(chart.y_format === "seconds" ? { incrs: SECOND_STEPS } : isWhole(chart) ? { incrs: WHOLE_STEPS } : {}),
  };
}

/** Whether all values are whole numbers, such as counts of rows: then ticks are, too. */
function isWhole(chart) {
  const all = chart.series.flatMap((series) => [...series.values, ...(series.low ?? []), ...(series.high ?? [])]);
  return (chart.y_format ?? "number") === "number" && all.every((value) => value === null || Number.isInteger(value));
}

function seriesOptions(chart, { role, index }, place) {
  const series = chart.series[index];
  const stroke = seriesColour(place, index);
  if (role === "low" || role === "high") return { stroke: "transparent", width: 0, points: { show: false } };
  if (role === "bar") {
    return { fill: stroke, stroke, width: 0, paths: uPlot.paths.bars({ size: [0.86, 64], radius: 0 }), points: { show: false } };
  }
  const dash = index >= NUM_COLOURS ? { dash: [6, 4] } : {};
  if (kindOf(series) === "points") {
    return { stroke, paths: () => null, points: { show: true, size: 8, fill: seriesColour(place, index, 0.65), stroke, width: 1 } };
  }
  const isSteps = kindOf(series) === "steps";
  const steps = isSteps ? { paths: uPlot.paths.stepped({ align: 1 }) } : {};
  const show = !isSteps && chart.x.length <= MAX_DOTS;
  const filter = (plot, i) => (show ? null : lonePoints(plot.data[i]));
  return { stroke, width: 2, ...dash, ...steps, points: { show, filter, size: 6, fill: stroke, width: 0 } };
}

function bandsOf(chart, layers, place) {
  const bands = [];
  layers.forEach(({ role, index }, i) => {
    if (role === "high") bands.push({ series: [i + 1, i + 2], fill: seriesColour(place, index, 0.18) });
  });
  return bands;
}

/** Return the phase of a span: "attempt 2: load" is coloured as "load". */
function phaseOf(span) {
  return span.name.replace(/^.*: /, "");
}

/** Shade the spans, each with its name where there is room. */
function drawSpans(plot, chart, place) {
  const { ctx, bbox } = plot;
  const others = [...new Set((chart.spans ?? []).map(phaseOf))].filter((name) => !PHASES.includes(name));
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, 0, bbox.width, bbox.top + bbox.height);
  ctx.clip();
  for (const span of chart.spans ?? []) {
    const left = plot.valToPos(span.start, "x", true);
    const width = plot.valToPos(span.end, "x", true) - left;
    const phase = phaseOf(span);
    const number = PHASES.includes(phase) ? PHASES.indexOf(phase) : PHASES.length + (others.indexOf(phase) % NUM_OTHERS);
    const name = `--span-${number}`;
    ctx.fillStyle = colour(place, name, 0.11);
    ctx.fillRect(left, bbox.top, width, bbox.height);
    writeSpanName(ctx, printable(span.name), left, width, bbox, colour(place, "--soft"));
  }
  ctx.restore();
}

function writeSpanName(ctx, text, left, width, bbox, fill) {
  const from = Math.max(left, bbox.left);
  const room = Math.min(left + width, bbox.left + bbox.width) - from;
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  if (ctx.measureText(text).width + 8 * devicePixelRatio > room) return;
  ctx.fillStyle = fill;
  ctx.textAlign = "center";
  ctx.textBaseline = "bottom";
  ctx.fillText(text, from + room / 2, bbox.top - 4 * devicePixelRatio);
}

function drawWhiskers(plot, state, place) {
  for (const { index, isBar, ends } of whiskersOf(state.chart, state.visible)) {
    plot.ctx.save();
    plot.ctx.strokeStyle = isBar ? colour(place, "--text", 0.75) : seriesColour(place, index);
    plot.ctx.lineWidth = 1.5 * devicePixelRatio;
    for (const end of ends) drawWhisker(plot, end);
    plot.ctx.restore();
  }
}

function drawWhisker(plot, { x, low, high }) {
  const { min, max } = plot.scales.x;
  if (x < min || x > max) return;
  const at = plot.valToPos(x, "x", true);
  const [bottom, top] = [plot.valToPos(low, "y", true), plot.valToPos(high, "y", true)];
  const half = 4 * devicePixelRatio;
  plot.ctx.beginPath();
  plot.ctx.moveTo(at, bottom);
  plot.ctx.lineTo(at, top);
  for (const end of [bottom, top]) {
    plot.ctx.moveTo(at - half, end);
    plot.ctx.lineTo(at + half, end);
  }
  plot.ctx.stroke();
}
