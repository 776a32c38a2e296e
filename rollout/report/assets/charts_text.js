// Values of charts as text: as rollout/report/values.py writes them.

function valueText(value, format) {
  if (value === null || value === undefined) return "–";
  if (format === "percent") return percentText(value);
  return format === "seconds" ? secondsText(value) : numberText(value);
}

/** Halves are rounded up, also where the binary number is just below: 28.75% is 28.8%. */
function percentText(value) {
  if (!Number.isFinite(value)) return `${value}%`;
  const tenths = Math.round(Number((1000 * Math.abs(value)).toFixed(8)));
  return `${value < 0 && tenths ? "-" : ""}${(tenths / 10).toFixed(1).replace(/\.0$/, "")}%`;
}

function numberText(value) {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return value.toLocaleString("en-US");
  if (size >= 1e15 || size < 1e-4) return value.toExponential(2);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

function secondsText(value) {
  if (Math.abs(value) < 59.995) return `${numberText(Math.round(100 * value) / 100)} s`;
  const sign = value < 0 ? "-" : "";
  const whole = Math.round(Math.abs(value));
  const [hours, minutes, seconds] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${sign}${hours}:${two(minutes)}:${two(seconds)}` : `${sign}${minutes}:${two(seconds)}`;
}

/** Return an axis' values as text; on an axis of seconds all have the form 0:30. */
function axisTexts(values, format) {
  if (format !== "seconds") return values.map((value) => (value === null ? "" : valueText(value, format)));
  const isLong = values.some((value) => Math.abs(value) >= 60);
  return values.map((value) => {
    if (value === null) return "";
    if (!isLong || Math.abs(value) >= 60) return secondsText(value);
    return `${value < 0 ? "-" : ""}0:${String(Math.round(Math.abs(value))).padStart(2, "0")}`;
  });
}
