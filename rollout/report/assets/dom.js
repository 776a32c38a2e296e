// Elements, copying and formats: all text enters the page as text nodes.

/** Return a new element with attributes (functions are listeners) and children. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null && child !== false));
  return made;
}

/** Return the element's replacement of its children. */
function fill(parent, ...children) {
  parent.replaceChildren(...children.filter((child) => child != null && child !== false));
  return parent;
}

function button(label, className, onClick, attributes = {}) {
  return element("button", { type: "button", class: className, click: onClick, ...attributes }, label);
}

/** Return a button that copies what `textOf` returns, escapes not applied; `isCut`: not all of the text is here. */
function copyButton(textOf, name, isCut = false) {
  const title = isCut && "a long text: copies as much of it as this page has";
  return button("Copy", "copy", () => copy(textOf()), { "aria-label": `Copy ${name}`, title });
}

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return toast("copied");
    } catch (refused) {
      // Without permission: the older way, which needs none.
    }
  }
  toast(copyBySelection(text) ? "copied" : "the browser refused to copy");
}

function copyBySelection(text) {
  const area = element("textarea", { readonly: true, "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

let toastTimer = 0;

function toast(text) {
  const place = document.querySelector(".toast");
  place.textContent = text;
  place.classList.add("on");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => place.classList.remove("on"), 1600);
}

function count(number, one, many = one + "s") {
  return `${number.toLocaleString("en-US")} ${number === 1 ? one : many}`;
}

function debounced(action, delayMs) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...given), delayMs);
  };
}
